"""The network, its data, its training and its score."""

import sys

# OpenVINO and NNCF report each import and each conversion to Google Analytics. They start a process for each report, 67
# for one conversion, which then takes seven times as much CPU time. Without this package they report nothing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

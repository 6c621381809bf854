"""The live server: frames in, follow or patrol commands out."""

import warnings

# eventlet greets every import of it with the advice to choose another library. It was chosen knowing that, and all
# that depends on it is in `app.py` and `quadsim.py`.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

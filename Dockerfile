# The server alone, without TensorFlow: it serves the networks that are shipped converted.
#   docker build --tag follow-me .
#   docker run --rm --publish 127.0.0.1:4567:4567 --volume follow-me:/app/recordings follow-me
# With Ray, for kuberay.yaml:
#   docker build --build-arg LOCK=requirements-fleet.lock --tag follow-me-fleet .
# With TensorFlow for a GPU, to be run with --gpus all:
#   docker build --build-arg LOCK=requirements-gpu.lock --tag follow-me-gpu .
# Another base with Python 3.11 and pip, such as that of tools/image.py: --build-arg BASE=...
ARG BASE=python:3.11-slim
FROM ${BASE}

RUN useradd --create-home follower
WORKDIR /app
ARG LOCK=requirements-runtime.lock
COPY ${LOCK} ./
RUN pip install --no-cache-dir --require-hashes --requirement ${LOCK}
COPY model model
COPY server server
COPY weights weights
# The page's button records into this folder.
RUN install --directory --owner follower recordings

USER follower
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1

EXPOSE 4567
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4567/healthz', timeout=2)"]
# In a container, QuadSim's connection comes from the address of a bridge, and QuadSim cannot send a token. So keep the
# port private, as the command above does. For other clients, replace --without-token by --token-file.
ENTRYPOINT ["python", "server/follower.py"]
CMD ["weights/model_weights", "--host", "0.0.0.0", "--without-token"]

# syntax=docker/dockerfile:1.7
# Sluice with vLLM's CUDA build, or with its CPU build by --build-arg EXTRA=cpu. CUDA itself comes in
# Python packages; the host brings NVIDIA's driver and its container toolkit.
#
#     docker build -t sluice:gpu .
#     docker run --gpus all --shm-size 8g -p 8000:8000 ... sluice:gpu      (docs/deploy.md)
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS base
# A C++ compiler: vLLM compiles kernels when it starts. wget: KubeRay's probes use it.
# No versions: Debian drops the old one of a package when it mends it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libnuma1 procps tini wget \
    && rm -rf /var/lib/apt/lists/*

FROM base AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/sluice
COPY Makefile README.md constraints.txt pyproject.toml ./
COPY .ci/setup .ci/
COPY deployments deployments
COPY serve_app serve_app
ARG EXTRA=gpu
ENV PIP_NO_CACHE_DIR=1
RUN EXTRA=${EXTRA} WITH='' make setup \
    && .venv/bin/python -m serve_app.environment > environment.sh

FROM base
RUN useradd --uid 1000 --create-home sluice
COPY --from=build /opt/sluice /opt/sluice
# Where Ray is started by something else than Sluice, such as KubeRay's `ray start` in a shell, that
# shell sets what Ray and Serve must find: bash reads BASH_ENV, a login shell /etc/profile.d.
RUN ln -s /opt/sluice/environment.sh /etc/profile.d/sluice.sh
ENV BASH_ENV=/opt/sluice/environment.sh \
    PATH=/opt/sluice/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /home/sluice
USER 1000:1000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
    CMD ["wget", "--quiet", "--tries=1", "--output-document=/dev/null", "http://127.0.0.1:8000/health"]
# tini takes leave of processes whose parents have died, as engines' may.
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "serve_app"]

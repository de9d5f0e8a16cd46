# docker build --target cpu -t segdistill .
# docker build --target cuda -t segdistill:cuda .     then: docker run --gpus all ...
# Both install the same lock. PyTorch's wheels bring the CUDA libraries; the driver comes from the host.
FROM python:3.12-slim-bookworm AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home segdistill
WORKDIR /home/segdistill/project
RUN chown segdistill .
USER segdistill
COPY --chown=segdistill Makefile pyproject.toml requirements.lock README.md LICENSE ./

FROM base AS cpu
RUN make setup EXTRAS="s3 openvino"
COPY --chown=segdistill . .
CMD ["make", "demo"]

FROM base AS cuda
RUN make setup EXTRAS="s3 tensorrt-rtx"
COPY --chown=segdistill . .
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
CMD ["make", "doctor"]

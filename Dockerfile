# Images of thcli. Two targets:
#
#   docker build --target cpu --build-arg TORCH_INDEX=ADDRESS -t thcli .
#   docker build --target cuda -t thcli:cuda .
#
# TORCH_INDEX is the address of PyTorch's package index with CPU wheels (docs/install.md). Without
# it the CPU image gets the wheels with CUDA too, which works and is several GB larger.
#
#   docker run --rm -v "$PWD:/data" thcli reenact face.jpg drive.mp4

FROM python:3.12-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/thcli/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    THCLI_WEIGHTS=/weights

FROM base AS source
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE weights.toml ./
COPY LICENSES LICENSES
COPY thcli thcli
RUN python -m venv /opt/thcli

FROM source AS build-cpu
ARG TORCH_INDEX=
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir --constraint constraints.txt --index-url "$TORCH_INDEX" \
            torch torchvision; \
    fi \
    && pip install --no-cache-dir --constraint constraints.txt '.[c2pa]'

# The wheels of torch for Linux bring CUDA's libraries; the driver comes from the host.
FROM source AS build-cuda
RUN pip install --no-cache-dir --constraint constraints.txt '.[c2pa]'

FROM base AS final
RUN useradd --create-home --uid 1000 thcli \
    && mkdir /weights /data \
    && chown thcli /weights /data
USER thcli
VOLUME /weights
WORKDIR /data
ENTRYPOINT ["thcli"]
CMD ["--help"]

FROM final AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
COPY --from=build-cuda /opt/thcli /opt/thcli

FROM final AS cpu
COPY --from=build-cpu /opt/thcli /opt/thcli

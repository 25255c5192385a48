# The official Valkey image with the module. From the project's root:
#
#   docker build -f packaging/docker/valkey.Dockerfile -t valkey-mtime .
#   docker run --rm -p 6379:6379 valkey-mtime
#
# Another version: --build-arg BASE=... ; the images that end in -alpine have another C library and do not fit.
ARG BASE=valkey/valkey:9

# The oldest Debian that the images come with: what is linked with an older C library runs with a newer one.
FROM rust:1-slim-bookworm AS build
# hadolint ignore=DL3008  # whatever Debian's stable release has
RUN apt-get update \
    && apt-get install -y --no-install-recommends libclang-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make build CARGOFLAGS=--locked

# hadolint ignore=DL3006  # the default above has a version
FROM ${BASE}
COPY --from=build --chmod=755 /src/target/release/libredis_mtime.so /usr/lib/redis/modules/
COPY LICENSE /usr/share/doc/redis-mtime/
# The image's entry point stays: it drops root before it starts the server.
CMD ["valkey-server", "--loadmodule", "/usr/lib/redis/modules/libredis_mtime.so"]

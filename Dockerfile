# Builds the one binary and puts it into an image that has nothing else: no shell, no package
# manager, no root. Configuration comes by environment, secrets by files.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
# What `beatwarden_build_info` shows: docker build --build-arg BEATWARDEN_REVISION="$(git rev-parse --short=12 HEAD)"
ARG BEATWARDEN_REVISION=unknown
# The image's own toolchain, whatever rust-toolchain.toml says: nothing is downloaded but crates.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    RUSTUP_TOOLCHAIN="$RUST_VERSION" cargo build --profile dist --locked --bin beatwarden \
    && install -D target/dist/beatwarden /out/beatwarden

# Same Debian release as the builder, for the same glibc. This image is published under a rolling
# tag only; pin it by digest where your policy asks for it.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Beatwarden" \
      org.opencontainers.image.description="Watches the job table of an application, exports its heartbeats and repairs jobs that missed their first one" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/beatwarden /usr/local/bin/beatwarden
COPY LICENSE /usr/share/doc/beatwarden/LICENSE
# Inside a container no client reaches loopback; which addresses of the host see this port is decided where
# it is published.
ENV BEATWARDEN__LISTEN=0.0.0.0:12328
EXPOSE 12328
# A number: where an image must not run as root, a name proves nothing and is refused.
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["beatwarden", "healthcheck"]
ENTRYPOINT ["beatwarden"]
CMD ["watch"]

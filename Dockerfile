# One image: the server, the Deno that it runs functions on, and the functions,
# built ahead, so that it starts without any network. docs/container.md says how
# it is used. Both the classic builder and BuildKit can build it.
#
# The functions are those of ./functions, ./supabase/functions, or else the
# examples. `--target runtime` leaves them out, for functions that are mounted.

ARG GO_IMAGE=docker.io/library/golang:1.26-bookworm
# Any image with glibc, libgcc and certificates will do; this one has no shell.
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# The programs are made on the machine that builds, for the platform that the
# image is for. The classic builder does not know BUILDPLATFORM, and "linux" is
# its own platform.
FROM --platform=${BUILDPLATFORM:-linux} ${GO_IMAGE} AS programs
ARG GOPROXY
ARG GOSUMDB
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
COPY examples examples
# The program of this machine fetches the Deno of the image's platform from the
# npm registry, and verifies it against the hash in its source.
ENV CGO_ENABLED=0
RUN go build -trimpath -buildvcs=false -o /tmp/selvedge ./cmd/selvedge
ARG TARGETARCH
ARG npm_config_registry
RUN mkdir -p /out/data && \
    /tmp/selvedge deno ${TARGETARCH:+--platform linux/${TARGETARCH}} --data-dir /tmp/deno --to /out/deno && \
    rm -r /tmp/deno
ARG VERSION
RUN GOARCH=${TARGETARCH} go build -trimpath -buildvcs=false -pgo=cmd/selvedge/serve.pgo \
      -ldflags="-s -w -X github.com/selvedge-dev/selvedge/internal/cli.version=${VERSION}" \
      -o /out/selvedge ./cmd/selvedge

# What belongs to the project is laid out as the server wants it: functions/ and
# beside it config.toml and the files that its packages are declared in.
FROM programs AS project
COPY . /context
WORKDIR /context
RUN mkdir -p /project; \
    if [ -d functions ]; then from=.; \
    elif [ -d supabase/functions ]; then from=supabase; \
    else from=examples; fi; \
    cp -R $from/functions /project/functions; \
    for file in config.toml deno.json deno.jsonc deno.lock package.json import_map.json; do \
      if [ -f $from/$file ]; then cp $from/$file /project/; fi; \
    done; \
    if [ $from = . ] && [ -f supabase/config.toml ]; then \
      mkdir -p /project/supabase && cp supabase/config.toml /project/supabase/; fi

# The image without functions.
FROM ${BASE_IMAGE} AS runtime
COPY --from=programs /out/deno /usr/local/bin/deno
COPY --from=programs /out/selvedge /usr/local/bin/selvedge
# A volume that is mounted here gets its owner.
COPY --from=programs --chown=65532:65532 /out/data /data
# Deno trusts the certificates of the base image besides its own.
ENV HOME=/tmp SELVEDGE_DENO=/usr/local/bin/deno DENO_TLS_CA_STORE=mozilla,system
WORKDIR /app
USER 65532:65532
EXPOSE 9000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["selvedge", "healthcheck"]
ENTRYPOINT ["selvedge", "serve"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Selvedge" \
      org.opencontainers.image.description="Supabase Edge Functions on supervised Deno processes" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Each function is built and loaded once by the very programs that will run it.
FROM runtime AS functions
COPY --from=project /project /app
# Of packages: the registry, and the token that an .npmrc may name. They are in
# this stage alone.
ARG npm_config_registry
ARG NODE_AUTH_TOKEN
USER 0:0
RUN ["selvedge", "bundle", "--out", "/app/data"]

# The functions belong to root: what runs here cannot change them.
FROM runtime
COPY --from=functions --chown=0:0 /app /app
ENV SELVEDGE_PREBUILT=/app/data

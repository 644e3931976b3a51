# Weir with ONNX Runtime and the Fashion-MNIST example: docker build -t weir .
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=1 go build -trimpath -ldflags "-s -w" -o /out/weir ./cmd/weir

# The library comes the same way, version and digest as on a developer's machine.
FROM python:3.12-slim-bookworm AS onnxruntime
WORKDIR /src
COPY scripts/onnxruntime scripts/onnxruntime
RUN scripts/onnxruntime && mkdir /out && cp "$(scripts/onnxruntime --print)" /out/libonnxruntime.so

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home weir
COPY --from=build /out/weir /usr/local/bin/weir
COPY --from=onnxruntime /out/libonnxruntime.so /usr/local/lib/libonnxruntime.so
COPY LICENSE /usr/share/doc/weir/LICENSE
COPY examples/fashion /srv/weir/examples/fashion
ENV WEIR_ORT_LIB=/usr/local/lib/libonnxruntime.so
WORKDIR /srv/weir
USER weir
# Metrics, health and readiness of `weir run … --admin 0.0.0.0:9090`.
EXPOSE 9090
# Bash alone can ask: the image has no curl. Containers that serve no --admin switch it off.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9090 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [ \"$code\" = 200 ]"]
ENTRYPOINT ["weir"]
CMD ["--help"]

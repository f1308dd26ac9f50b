# weir and FFmpeg in one image: docker build -t weir .
#
# BASE is what it runs on. FFmpeg is installed unless BASE has it already, so
# that an image of your own (another FFmpeg, no package mirror) will do.
# With --target local the binary is bin/weir as `make build` left it.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS base
RUN command -v ffmpeg >/dev/null || { \
	apt-get update && \
	apt-get install -y --no-install-recommends ffmpeg ca-certificates && \
	rm -rf /var/lib/apt/lists/*; }
# Where an origin's volume is mounted (store.dir). An empty volume takes its mode
# over, and whoever weir runs as may write there.
RUN mkdir -p -m 1777 /var/lib/weir
WORKDIR /
USER 65532:65532
# Viewers, peers and gossip of an edge; viewers and ingest of an origin; admin of both.
EXPOSE 8080 8081 8090 8091 7946 7946/udp 9180 9190
ENTRYPOINT ["weir"]

FROM base AS local
COPY bin/weir /usr/local/bin/weir

FROM node:22-bookworm-slim AS player
WORKDIR /player
COPY cmd/weir/demo/player/package.json cmd/weir/demo/player/package-lock.json cmd/weir/demo/player/.npmrc ./
RUN npm ci --ignore-scripts

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=player /player/node_modules/hls.js/dist/hls.min.js cmd/weir/demo/vendor/hls.min.js
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /weir ./cmd/weir

FROM base
COPY --from=build /weir /usr/local/bin/weir

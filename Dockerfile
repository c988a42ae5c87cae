# syntax=docker/dockerfile:1
#
#   docker build -t lorastream .                            models are mounted at /app/models
#   docker build -t lorastream --build-arg MODELS=pulled .  the demo's models are in the image, 190 MB more
#
# docs/deploy.md says how it is run.
ARG NODE=22
ARG MODELS=mounted

# With compilers, for hnswlib-node.
FROM node:${NODE}-bookworm AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.topologies.json tsconfig.infra.json ./
COPY src src
COPY topologies topologies
COPY infra infra
COPY schemas schemas
RUN npm run build && npm prune --omit=dev
# ONNX Runtime brings its library for every platform.
RUN find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 -type d \
  ! -path "*/linux/$(node -p process.arch)" -exec rm -r {} +

FROM build AS models-mounted
RUN mkdir /models

FROM build AS models-pulled
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip
RUN node dist/cli.js models pull --into /models

FROM models-${MODELS} AS models

FROM node:${NODE}-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY LICENSE NOTICE package.json ./
COPY schemas schemas
COPY adapters adapters
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=models /models models
# Quantised weights and vectors of adapters: kept in a volume they are made once.
RUN mkdir /cache && chown node:node /cache
VOLUME /cache
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli.js"]
CMD ["run", "dist/topologies/mixture.js", "--health-port", "8080", "--cache", "/cache"]

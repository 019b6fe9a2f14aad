# Horton, built from this folder: docker build -t horton . && docker run --rm horton --help
FROM debian:12.11-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
      ca-certificates clang-19 lld-19 cmake ninja-build make python3-venv \
      libboost1.81-dev libboost-json1.81-dev liblmdb-dev librocksdb-dev libsasl2-dev libsqlite3-dev libmongoc-dev libsimdjson-dev libfmt-dev libcli11-dev \
      libyaml-cpp-dev libcctz-dev libcsv-dev libssl-dev zlib1g-dev liblz4-dev libsnappy-dev libzstd-dev
WORKDIR /src
COPY dev/librdkafka dev/librdkafka
RUN dev/librdkafka
COPY . .
# For any x86-64, and other processors: what builds it may be newer than what runs it.
RUN cmake -S . -B /build -G Ninja -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 -DMEPHISTO_TESTS=OFF -DMEPHISTO_BENCH=OFF -DMEPHISTO_MARCH= \
    && ninja -C /build horton && strip /build/bin/horton

FROM debian:12.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates tzdata libcctz2 libboost-container1.81.0 libboost-json1.81.0 libcsv3 libfmt9 liblmdb0 librocksdb7.8 libmongoc-1.0-0 libsasl2-2 \
      libsimdjson14 libsqlite3-0 libssl3 libyaml-cpp0.7 liblz4-1 libsnappy1v5 libzstd1 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/horton --shell /usr/sbin/nologin horton
COPY --from=build /build/bin/horton /usr/local/bin/horton
# What the stand-in market serves, where the program looks for it.
COPY --from=build /src/horton/data /src/horton/data
USER horton
# A config.yml is read here; without Kafka and MongoDB the log and the documents are kept here, too.
WORKDIR /var/lib/horton
VOLUME /var/lib/horton
ENTRYPOINT ["horton"]
CMD ["worker", "--without-web", "-l", "info"]

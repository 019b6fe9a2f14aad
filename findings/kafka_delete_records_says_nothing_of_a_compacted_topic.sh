#!/usr/bin/env bash
# Package: org.apache.kafka:kafka_2.13 and kafka-tools 4.3.1 (Maven Central), with Java 17.
# One expects: kafka-delete-records either moves the beginning of a partition or ends with an error.
# What happens: on a topic with cleanup.policy=compact the broker refuses (POLICY_VIOLATION). The tool prints the
# refusal among its results and exits with 0; the partition keeps its records. A script that looks at the exit code
# takes the records for deleted. With cleanup.policy=compact,delete the same command deletes them.
# Output seen: the lines of `expected` below. The script fails if it sees others.
set -euo pipefail
folder=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || { kill "$broker" && wait "$broker" || true; }; rm -rf "$folder"' EXIT
cd "$folder"
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>finding</groupId><artifactId>finding</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>4.3.1</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >maven.log 2>&1 || { tail -n 20 maven.log >&2; exit 1; }
run() { java -Xmx512m -cp 'jars/*' "$@"; }

read -r port controller < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))')
server=127.0.0.1:$port
cat >server.properties <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://$server,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$folder/data
PROPERTIES
run kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c server.properties >format.log 2>&1
java -Xmx512m -cp 'jars/*' kafka.Kafka server.properties >broker.log 2>&1 &
broker=$!
topics() { run org.apache.kafka.tools.TopicCommand --bootstrap-server "$server" "$@" 2>>tools.log; }
for try in $(seq 60); do
  topics --list >/dev/null && break
  [ "$try" -lt 60 ] || { tail -n 20 broker.log >&2; exit 1; }
done

beginning() {
  run org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$server" --topic "$1" --time earliest 2>>tools.log
}
for policy in compact compact,delete; do
  topic=of_$(tr , _ <<<"$policy")
  topics --create --topic "$topic" --partitions 1 --config "cleanup.policy=$policy" >/dev/null
  printf 'k%s:v\n' 1 2 3 4 5 | run org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$server" --topic "$topic" \
    --reader-property parse.key=true --reader-property key.separator=: >/dev/null 2>>tools.log
  printf '{"partitions":[{"topic":"%s","partition":0,"offset":3}],"version":1}' "$topic" >delete.json
  code=0
  run org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server "$server" --offset-json-file delete.json \
    >deleted 2>&1 || code=$?
  echo "cleanup.policy=$policy: exit code $code, $(grep -ciE 'error|exception' deleted || true) line with an error, beginning $(beginning "$topic")"
done | tee seen

cat >expected <<'LINES'
cleanup.policy=compact: exit code 0, 1 line with an error, beginning of_compact:0:0
cleanup.policy=compact,delete: exit code 0, 0 line with an error, beginning of_compact_delete:0:3
LINES
diff expected seen

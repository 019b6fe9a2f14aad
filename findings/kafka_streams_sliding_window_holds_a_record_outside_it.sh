#!/usr/bin/env bash
# Package: org.apache.kafka:kafka-streams-test-utils 4.3.1 (Maven Central), with Java 17 and its RocksDB store.
# One expects: the value of a sliding window [24,29] is made from records whose times are from 24 to 29.
# What happens: with a time difference of 5 ms and a grace of 2 ms, the records of one key at 22, 30, 23, 24 and 23 end
# with a window [24,29] that holds the record at 23 too. Its value is copied from [23,28], the nearest open window, when
# the second record at 23 arrives; the record at 23 in it is not taken out.
# Output seen: the lines of `expected` below. The script fails if it sees others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >pom.xml <<'END'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>finding</groupId><artifactId>finding</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-streams-test-utils</artifactId><version>4.3.1</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
END
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars >maven.log 2>&1 || { tail -n 20 maven.log >&2; exit 1; }

cat >Sliding.java <<'END'
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.state.WindowStore;

public class Sliding {
  public static void main(String[] args) {
    var text = Serdes.String();
    var builder = new StreamsBuilder();
    builder.stream("in", Consumed.with(text, text))
        .groupByKey(Grouped.with(text, text))
        .windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(5), Duration.ofMillis(2)))
        .aggregate(() -> "", (key, value, all) -> all + " " + value,
            Materialized.<String, String, WindowStore<Bytes, byte[]>>as("windows").withKeySerde(text).withValueSerde(text)
                .withCachingDisabled().withRetention(Duration.ofDays(1)))
        .toStream((window, value) -> window.key() + "[" + window.window().start() + "," + window.window().end() + "]")
        .to("out", Produced.with(text, text));
    var settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "finding");
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "nowhere:1");
    settings.put(StreamsConfig.STATE_DIR_CONFIG, args[0]);
    try (var driver = new TopologyTestDriver(builder.build(), settings)) {
      var in = driver.createInputTopic("in", new StringSerializer(), new StringSerializer());
      var out = driver.createOutputTopic("out", new StringDeserializer(), new StringDeserializer());
      long[] times = {22, 30, 23, 24, 23};
      for (int i = 0; i < times.length; ++i) {
        in.pipeInput("k", "record" + i + "@" + times[i], times[i]);
        for (KeyValue<String, String> result : out.readKeyValuesToList())
          if (result.key.equals("k[24,29]")) System.out.println(result.key + " =" + result.value);
      }
    }
  }
}
END
javac -cp 'jars/*' Sliding.java
java -cp 'jars/*:.' Sliding "$folder/state" 2>java.log | tee seen

cat >expected <<'END'
k[24,29] = record2@23 record3@24
END
diff expected seen

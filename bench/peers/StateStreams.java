// Kafka Streams with state, in RocksDB: `run` describes its output. SERVERS IN OUT COUNT KIND, where KIND is
//
//   count                without a cache: every update is logged and sent to OUT
//   count_coalesced      with its cache, and a commit a second
//   count_exactly_once   as count, in transactions
//   window               10 s windows, every update logged and sent
//   window_on_close      10 s windows, only final results sent
//   join                 each record of IN with the newest record of its key in IN-quotes
//   restore              the state of the topic OUT-counts-changelog, which has COUNT records; IN is empty
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.producer.ProducerInterceptor;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

public class StateStreams {
  static final ObjectMapper mapper = new ObjectMapper();
  static final ObjectReader reader = mapper.readerFor(Trade.class);
  static final AtomicLong acknowledged = new AtomicLong();
  static final CountDownLatch done = new CountDownLatch(1);
  static long processed;
  static long toAcknowledge = Long.MAX_VALUE;
  static long toProcess = Long.MAX_VALUE;
  static volatile long started;
  static volatile long ended;

  public static class Trade {
    public String symbol;
    public double price;
    public long volume;
    public long time;
    public String venue;
  }

  public static class Pair {
    public Trade left;
    public Trade right;
  }

  public static class Count implements ProducerInterceptor<byte[], byte[]> {
    public ProducerRecord<byte[], byte[]> onSend(ProducerRecord<byte[], byte[]> record) {
      return record;
    }

    public void onAcknowledgement(RecordMetadata where, Exception error) {
      if (error == null && acknowledged.incrementAndGet() == toAcknowledge) end();
    }

    public void close() {}

    public void configure(Map<String, ?> settings) {}
  }

  static void end() {
    ended = System.nanoTime();
    done.countDown();
  }

  static Trade decode(byte[] text) {
    if (started == 0) started = System.nanoTime();
    try {
      return text == null ? null : reader.readValue(text);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  static byte[] encode(Object value) {
    try {
      return mapper.writeValueAsBytes(value);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  static Map<TopicPartition, Long> ends(Admin admin, String topic, IsolationLevel level) throws Exception {
    var latest = admin.describeTopics(java.util.List.of(topic)).allTopicNames().get().get(topic).partitions().stream()
        .collect(Collectors.toMap(one -> new TopicPartition(topic, one.partition()), one -> OffsetSpec.latest()));
    return admin.listOffsets(latest, new ListOffsetsOptions(level)).all().get().entrySet().stream()
        .collect(Collectors.toMap(Map.Entry::getKey, one -> one.getValue().offset()));
  }

  // The state of a topic with a changelog that is there already. It is not read.
  static void restore(StreamsBuilder builder, String in) {
    var store = Stores.keyValueStoreBuilder(
        Stores.persistentKeyValueStore("counts"), Serdes.String(), Serdes.String());
    builder.addStateStore(store);
    builder.stream(in, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .process(() -> new Processor<byte[], byte[], Void, Void>() {
          public void process(Record<byte[], byte[]> record) {}
        }, "counts");
  }

  static void count(KStream<String, Trade> in, boolean cached, String out) {
    var store = Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts")
        .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long());
    var counts = in.groupByKey().count(cached ? store.withCachingEnabled() : store.withCachingDisabled());
    counts.toStream().to(out, Produced.with(Serdes.String(), text()));
  }

  static void window(KStream<String, Trade> in, boolean onClose, String out) {
    var windows = TimeWindows.ofSizeWithNoGrace(Duration.ofSeconds(10));
    var store = Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("counts")
        .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long());
    var counts = in.groupByKey().windowedBy(windows)
        .count(onClose ? store.withCachingEnabled() : store.withCachingDisabled());
    if (onClose) counts = counts.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()));
    counts.toStream().map((key, count) -> KeyValue.pair(key.key(),
        Map.of("start", key.window().start(), "end", key.window().end(), "value", count)))
        .to(out, Produced.with(Serdes.String(), Serdes.serdeFrom((t, v) -> encode(v), (t, b) -> null)));
  }

  // As JSON.
  static Serde<Long> text() {
    return Serdes.serdeFrom((topic, count) -> count == null ? null : count.toString().getBytes(), (topic, bytes) -> null);
  }

  public static void main(String[] words) throws Exception {
    var in = words[1];
    var out = words[2];
    var count = Long.parseLong(words[3]);
    var kind = words[4];
    var exactlyOnce = kind.equals("count_exactly_once");
    var settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, words[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, kind.equals("restore") ? out : "streams-" + out);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
        exactlyOnce ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, "build/peers/state");
    settings.put(StreamsConfig.consumerPrefix("max.poll.records"), 10000);
    settings.put(StreamsConfig.consumerPrefix("fetch.min.bytes"), 100000);
    settings.put(StreamsConfig.consumerPrefix("fetch.max.wait.ms"), 100);
    settings.put(StreamsConfig.mainConsumerPrefix("session.timeout.ms"), 2000);
    settings.put(StreamsConfig.mainConsumerPrefix("heartbeat.interval.ms"), 500);
    settings.put(StreamsConfig.restoreConsumerPrefix("max.poll.records"), 10000);
    settings.put(StreamsConfig.producerPrefix("batch.size"), 262144);
    settings.put(StreamsConfig.producerPrefix("linger.ms"), 5);
    settings.put(StreamsConfig.producerPrefix("interceptor.classes"), Count.class.getName());

    Serde<Trade> trades = Serdes.serdeFrom((topic, trade) -> encode(trade), (topic, bytes) -> decode(bytes));
    var builder = new StreamsBuilder();
    if (kind.equals("restore")) {
      restore(builder, in);
    } else {
      var consumed = Consumed.with(Serdes.String(), trades);
      if (kind.startsWith("window"))  // ten records a millisecond, as in ours
        consumed = consumed.withTimestampExtractor((record, before) -> ((Trade) record.value()).time / 10);
      KStream<String, Trade> stream = builder.stream(in, consumed);
      switch (kind) {
        case "count", "count_exactly_once" -> {
          toAcknowledge = 2 * count;
          count(stream, false, out);
        }
        case "count_coalesced" -> {
          toProcess = count;
          settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
          count(stream, true, out);
        }
        case "window" -> {
          toAcknowledge = 2 * count;
          window(stream, false, out);
        }
        case "window_on_close" -> {
          toProcess = count;
          window(stream, true, out);
        }
        case "join" -> {
          var table = builder.table(in + "-quotes", Consumed.with(Serdes.String(), trades));
          toAcknowledge = count;
          stream.leftJoin(table, (left, right) -> {
            var pair = new Pair();
            pair.left = left;
            pair.right = right;
            return pair;
          }, Joined.with(Serdes.String(), trades, trades))
              .to(out, Produced.with(Serdes.String(), Serdes.serdeFrom((t, v) -> encode(v), (t, b) -> null)));
        }
        default -> throw new IllegalArgumentException(kind);
      }
      if (toProcess != Long.MAX_VALUE) {
        stream.foreach((key, trade) -> {
          if (++processed == toProcess) end();
        });
      }
    }
    try (var streams = new KafkaStreams(builder.build(), settings);
        var admin = Admin.create(Map.of("bootstrap.servers", words[0]))) {
      var restored = new AtomicLong();
      streams.setGlobalStateRestoreListener(new StateRestoreListener() {
        public synchronized void onRestoreStart(TopicPartition where, String store, long start, long end) {
          if (kind.equals("restore") && started == 0) started = System.nanoTime();
        }

        public void onBatchRestored(TopicPartition where, String store, long end, long number) {}

        public void onRestoreEnd(TopicPartition where, String store, long total) {
          if (kind.equals("restore") && restored.addAndGet(total) == count) end();
        }
      });
      if (kind.equals("restore")) streams.cleanUp();
      streams.start();
      done.await();
      if (exactlyOnce) {  // only committed records count
        while (!ends(admin, out, IsolationLevel.READ_COMMITTED)
                    .equals(ends(admin, out, IsolationLevel.READ_UNCOMMITTED))) Thread.sleep(5);
        ended = System.nanoTime();
      }
      var status = Files.readAllLines(Path.of("/proc/self/status"));
      var peak = status.stream().filter(line -> line.startsWith("VmHWM")).findFirst().get();
      System.out.printf("%.0f %.1f%n", count / ((ended - started) * 1e-9),
          Long.parseLong(peak.replaceAll("\\D", "")) / 1024.0);
      System.out.flush();
      Runtime.getRuntime().halt(0);
    }
  }
}

// Kafka Streams: `run` describes its work and output. SERVERS IN OUT COUNT at_least_once|exactly_once_v2
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.producer.ProducerInterceptor;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

public class Streams {
  static final ObjectMapper mapper = new ObjectMapper();
  static final ObjectReader reader = mapper.readerFor(Trade.class);
  static final ObjectWriter writer = mapper.writerFor(Trade.class);
  static final AtomicLong acknowledged = new AtomicLong();
  static final CountDownLatch done = new CountDownLatch(1);
  static long wanted;
  static volatile long started;
  static volatile long ended;

  public static class Trade {
    public String symbol;
    public double price;
    public long volume;
    public long time;
    public String venue;
  }

  public static class Count implements ProducerInterceptor<byte[], byte[]> {
    public ProducerRecord<byte[], byte[]> onSend(ProducerRecord<byte[], byte[]> record) {
      return record;
    }

    public void onAcknowledgement(RecordMetadata where, Exception error) {
      if (error == null && acknowledged.incrementAndGet() == wanted) {
        ended = System.nanoTime();
        done.countDown();
      }
    }

    public void close() {}

    public void configure(Map<String, ?> settings) {}
  }

  static Trade decode(byte[] text) {
    if (started == 0) started = System.nanoTime();
    try {
      return reader.readValue(text);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  static byte[] encode(Trade trade) {
    try {
      return writer.writeValueAsBytes(trade);
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

  public static void main(String[] words) throws Exception {
    wanted = Long.parseLong(words[3]);
    var settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, words[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "streams-" + words[2]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, words[4]);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, "build/peers/state");
    settings.put(StreamsConfig.consumerPrefix("max.poll.records"), 10000);
    settings.put(StreamsConfig.consumerPrefix("fetch.min.bytes"), 100000);
    settings.put(StreamsConfig.consumerPrefix("fetch.max.wait.ms"), 100);
    settings.put(StreamsConfig.producerPrefix("batch.size"), 262144);
    settings.put(StreamsConfig.producerPrefix("linger.ms"), 5);
    settings.put(StreamsConfig.producerPrefix("interceptor.classes"), Count.class.getName());

    var bytes = Serdes.ByteArray();
    Serde<Trade> trades = Serdes.serdeFrom((topic, trade) -> encode(trade), (topic, text) -> decode(text));
    var builder = new StreamsBuilder();
    builder.stream(words[1], Consumed.with(bytes, trades)).mapValues(trade -> {
      trade.price *= 1.01;
      return trade;
    }).to(words[2], Produced.with(bytes, trades));
    try (var streams = new KafkaStreams(builder.build(), settings);
        var admin = Admin.create(Map.of("bootstrap.servers", words[0]))) {
      streams.start();
      done.await();
      if (words[4].equals("exactly_once_v2")) {  // only committed records count
        while (!ends(admin, words[2], IsolationLevel.READ_COMMITTED)
                    .equals(ends(admin, words[2], IsolationLevel.READ_UNCOMMITTED))) Thread.sleep(5);
        ended = System.nanoTime();
      }
      var status = Files.readAllLines(Path.of("/proc/self/status"));
      var peak = status.stream().filter(line -> line.startsWith("VmHWM")).findFirst().get();
      System.out.printf("%.0f %.1f%n", wanted / ((ended - started) * 1e-9),
          Long.parseLong(peak.replaceAll("\\D", "")) / 1024.0);
      System.out.flush();
      Runtime.getRuntime().halt(0);
    }
  }
}

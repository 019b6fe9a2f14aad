/* The limit of librdkafka itself, in plain C: `dev/bench --kafka` compares ours with it. Each part prints its figures.
 *
 *   raw_kafka create  SERVERS TOPIC PARTITIONS
 *   raw_kafka delete  SERVERS TOPIC
 *   raw_kafka fill    SERVERS TOPIC PARTITIONS COUNT     makes COUNT trades of about 84 bytes, with 10,000 keys
 *                                                        and 1,000 records per batch
 *   raw_kafka consume SERVERS TOPIC PARTITIONS COUNT     records per second, from the first record to the last
 *   raw_kafka pass    SERVERS IN OUT PARTITIONS COUNT    the same, with every record copied to OUT and acknowledged;
 *                                                        then megabytes
 *   raw_kafka echo    SERVERS IN OUT                     passes on the records of partition 0, until it is killed
 *   raw_kafka ask     SERVERS IN OUT COUNT               milliseconds of a round trip through `echo`: the median and
 *                                                        the 99th percentile
 *
 * It uses one queue and one batch per partition, and as few calls per record as possible. */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { kBatch = 1000, kMaxPartitions = 1024, kWarmUp = 50 };

static void die(const char* what, const char* why) {
  fprintf(stderr, "raw_kafka: %s: %s\n", what, why);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static rd_kafka_t* client(rd_kafka_type_t type, const char* servers, const char* const properties[][2], size_t count,
                          int events) {
  char text[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  if (rd_kafka_conf_set(conf, "bootstrap.servers", servers, text, sizeof text) ||
      rd_kafka_conf_set(conf, "socket.nagle.disable", "true", text, sizeof text))
    die("servers", text);
  for (size_t i = 0; i < count; ++i) {
    if (rd_kafka_conf_set(conf, properties[i][0], properties[i][1], text, sizeof text)) die(properties[i][0], text);
  }
  rd_kafka_conf_set_events(conf, events);
  rd_kafka_t* handle = rd_kafka_new(type, conf, text, sizeof text);
  if (!handle) die("client", text);
  return handle;
}

/* Has the settings of our producer, except `linger` and the most records per batch. */
static rd_kafka_t* producer(const char* servers, const char* linger, const char* batch) {
  const char* const properties[][2] = {{"enable.idempotence", "true"},
                                       {"linger.ms", linger},
                                       {"batch.size", "1000000"},
                                       {"batch.num.messages", batch},
                                       {"queue.buffering.max.messages", "1000000"},
                                       {"queue.buffering.max.kbytes", "65536"}};
  return client(RD_KAFKA_PRODUCER, servers, properties, sizeof properties / sizeof *properties,
                RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
}

/* A consumer of partitions 0 to `partitions` - 1 from `offset`, with a queue for each and our memory limit. */
struct consumer {
  rd_kafka_t* handle;
  rd_kafka_queue_t* queues[kMaxPartitions];
  int partitions;
  int wake; /* readable when a queue has an event */
};

static void open_consumer(struct consumer* of, const char* servers, const char* topic, int partitions, int64_t offset) {
  const char* const properties[][2] = {{"group.id", "raw"},
                                       {"enable.auto.commit", "false"},
                                       {"enable.auto.offset.store", "false"},
                                       {"isolation.level", "read_committed"},
                                       {"check.crcs", "true"},
                                       {"fetch.wait.max.ms", "100"},
                                       {"fetch.queue.backoff.ms", "1"}, /* after enough is prefetched */
                                       {"queued.min.messages", "20000"},
                                       {"queued.max.messages.kbytes", "4096"},
                                       {"fetch.message.max.bytes", "1048576"}};
  static const uint64_t one = 1;
  if (partitions > kMaxPartitions) die(topic, "too many partitions");
  of->handle = client(RD_KAFKA_CONSUMER, servers, properties, sizeof properties / sizeof *properties, 0);
  rd_kafka_poll_set_consumer(of->handle);
  of->partitions = partitions;
  of->wake = eventfd(0, EFD_NONBLOCK);
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(partitions);
  for (int i = 0; i < partitions; ++i) {
    rd_kafka_topic_partition_list_add(list, topic, i)->offset = offset;
    of->queues[i] = rd_kafka_queue_get_partition(of->handle, topic, i);
    rd_kafka_queue_forward(of->queues[i], NULL);
    rd_kafka_queue_io_event_enable(of->queues[i], of->wake, &one, sizeof one);
  }
  rd_kafka_assign(of->handle, list);
  rd_kafka_topic_partition_list_destroy(list);
}

static void wait_for_more(const struct consumer* of) {
  struct pollfd file = {of->wake, POLLIN, 0};
  poll(&file, 1, 10);
  uint64_t count;
  (void)!read(of->wake, &count, sizeof count);
}

/* Takes a partition's ready records, and drops errors. */
static ssize_t take(struct consumer* of, int partition, rd_kafka_message_t** messages) {
  ssize_t count = rd_kafka_consume_batch_queue(of->queues[partition], 0, messages, kBatch);
  ssize_t kept = 0;
  for (ssize_t i = 0; i < count; ++i) {
    if (messages[i]->err) {
      rd_kafka_message_destroy(messages[i]);
    } else {
      messages[kept++] = messages[i];
    }
  }
  return kept;
}

static long reported = 0;

static void serve_reports(rd_kafka_queue_t* queue, int timeout_ms) {
  rd_kafka_event_t* event;
  while ((event = rd_kafka_queue_poll(queue, timeout_ms)) != NULL) {
    const rd_kafka_message_t* message;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
      while ((message = rd_kafka_event_message_next(event)) != NULL) {
        if (message->err) die("produce", rd_kafka_err2str(message->err));
        ++reported;
      }
    }
    rd_kafka_event_destroy(event);
    timeout_ms = 0;
  }
}

/* Hands a batch over; waits while librdkafka's queue is full. */
static void produce(rd_kafka_topic_t* topic, int partition, rd_kafka_message_t* batch, int count,
                    rd_kafka_queue_t* reports) {
  int done = rd_kafka_produce_batch(topic, partition, RD_KAFKA_MSG_F_COPY, batch, count);
  while (done < count) {
    int left = 0;
    for (int i = 0; i < count; ++i) {
      if (batch[i].err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        batch[left++] = batch[i];
      else if (batch[i].err)
        die("produce", rd_kafka_err2str(batch[i].err));
    }
    serve_reports(reports, 10);
    count = left;
    done = rd_kafka_produce_batch(topic, partition, RD_KAFKA_MSG_F_COPY, batch, count);
  }
}

/* Makes a topic; deletes it if `partitions` is 0. */
static int change(const char* servers, const char* topic, int partitions) {
  char text[512];
  rd_kafka_t* handle = client(RD_KAFKA_PRODUCER, servers, NULL, 0, 0);
  rd_kafka_queue_t* queue = rd_kafka_queue_new(handle);
  if (partitions > 0) {
    rd_kafka_NewTopic_t* wanted = rd_kafka_NewTopic_new(topic, partitions, 1, text, sizeof text);
    rd_kafka_CreateTopics(handle, &wanted, 1, NULL, queue);
  } else {
    rd_kafka_DeleteTopic_t* unwanted = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_DeleteTopics(handle, &unwanted, 1, NULL, queue);
  }
  rd_kafka_event_t* event = rd_kafka_queue_poll(queue, 30000);
  if (!event) die(topic, "no answer");
  size_t count = 0;
  const rd_kafka_topic_result_t** results =
      partitions > 0 ? rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count)
                     : rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
  if (count != 1 || rd_kafka_topic_result_error(results[0]))
    die(topic, count == 1 ? rd_kafka_topic_result_error_string(results[0]) : "no answer");
  printf("1\n");
  return 0;
}

static int fill(const char* servers, const char* name, int partitions, long count) {
  rd_kafka_t* handle = producer(servers, "5", "1000");
  rd_kafka_queue_t* reports = rd_kafka_queue_get_main(handle);
  rd_kafka_topic_t* topic = rd_kafka_topic_new(handle, name, NULL);
  static char keys[kBatch][16];
  static char values[kBatch][128];
  static rd_kafka_message_t batch[kBatch];
  const double start = now();
  for (long from = 0, turn = 0; from < count; from += kBatch, ++turn) {
    const int size = count - from < kBatch ? (int)(count - from) : kBatch;
    for (int i = 0; i < size; ++i) {
      const long n = from + i;
      batch[i].key = keys[i];
      batch[i].key_len = (size_t)snprintf(keys[i], sizeof keys[i], "SYM%05ld", n % 10000);
      batch[i].payload = values[i];
      batch[i].len =
          (size_t)snprintf(values[i], sizeof values[i],
                           "{\"symbol\":\"%s\",\"price\":%.2f,\"volume\":%ld,\"time\":%ld,\"venue\":\"XNAS\"}", keys[i],
                           100 + (double)(n % 977) * 0.25, 100 + n % 5000, 1600000000000 + n);
    }
    produce(topic, (int)(turn % partitions), batch, size, reports);
    serve_reports(reports, 0);
  }
  while (reported < count) serve_reports(reports, 100);
  printf("%.0f\n", (double)count / (now() - start));
  return 0;
}

static int consume(const char* servers, const char* topic, int partitions, long count) {
  static struct consumer in;
  rd_kafka_message_t* messages[kBatch];
  open_consumer(&in, servers, topic, partitions, 0);
  double start = 0;
  size_t bytes = 0;
  for (long seen = 0; seen < count;) {
    ssize_t any = 0;
    for (int p = 0; p < partitions; ++p) {
      const ssize_t n = take(&in, p, messages);
      if (n > 0 && start == 0) start = now();
      for (ssize_t i = 0; i < n; ++i) {
        bytes += messages[i]->len + (size_t)(*(const char*)messages[i]->payload == '{');
        rd_kafka_message_destroy(messages[i]);
      }
      seen += n;
      any += n;
    }
    if (any == 0) wait_for_more(&in);
  }
  const double seconds = now() - start;
  if (bytes == 0) die(topic, "only empty records");
  printf("%.0f\n", (double)count / seconds);
  return 0;
}

static double peak_megabytes(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)usage.ru_maxrss / 1024;
}

static int pass(const char* servers, const char* from, const char* to, int partitions, long count) {
  static struct consumer in;
  rd_kafka_message_t* messages[kBatch];
  static rd_kafka_message_t batch[kBatch];
  rd_kafka_t* handle = producer(servers, "1", "100000");
  rd_kafka_queue_t* reports = rd_kafka_queue_get_main(handle);
  rd_kafka_topic_t* topic = rd_kafka_topic_new(handle, to, NULL);
  open_consumer(&in, servers, from, partitions, 0);
  double start = 0;
  for (long seen = 0; seen < count;) {
    ssize_t any = 0;
    for (int p = 0; p < partitions; ++p) {
      const ssize_t n = take(&in, p, messages);
      if (n == 0) continue;
      if (start == 0) start = now();
      for (ssize_t i = 0; i < n; ++i) {
        batch[i].key = messages[i]->key;
        batch[i].key_len = messages[i]->key_len;
        batch[i].payload = messages[i]->payload;
        batch[i].len = messages[i]->len;
      }
      produce(topic, p, batch, (int)n, reports);
      for (ssize_t i = 0; i < n; ++i) rd_kafka_message_destroy(messages[i]);
      seen += n;
      any += n;
      serve_reports(reports, 0);
    }
    if (any == 0) {
      serve_reports(reports, 0);
      wait_for_more(&in);
    }
  }
  while (reported < count) serve_reports(reports, 10);
  printf("%.0f %.1f\n", (double)count / (now() - start), peak_megabytes());
  return 0;
}

/* Sends `value` at once. */
static void send_one(rd_kafka_topic_t* topic, rd_kafka_queue_t* reports, void* value, size_t size) {
  if (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value, size, NULL, 0, NULL))
    die("produce", rd_kafka_err2str(rd_kafka_last_error()));
  serve_reports(reports, 0);
}

static int echo(const char* servers, const char* from, const char* to) {
  static struct consumer in;
  rd_kafka_message_t* messages[kBatch];
  rd_kafka_t* handle = producer(servers, "0", "100000");
  rd_kafka_queue_t* reports = rd_kafka_queue_get_main(handle);
  rd_kafka_topic_t* topic = rd_kafka_topic_new(handle, to, NULL);
  open_consumer(&in, servers, from, 1, RD_KAFKA_OFFSET_BEGINNING);
  for (;;) {
    const ssize_t n = take(&in, 0, messages);
    for (ssize_t i = 0; i < n; ++i) {
      send_one(topic, reports, messages[i]->payload, messages[i]->len);
      rd_kafka_message_destroy(messages[i]);
    }
    if (n == 0) wait_for_more(&in);
  }
}

static int by_value(const void* a, const void* b) {
  const double x = *(const double*)a;
  const double y = *(const double*)b;
  return (x > y) - (x < y);
}

static int ask(const char* servers, const char* from, const char* to, int count) {
  static struct consumer in;
  rd_kafka_message_t* messages[kBatch];
  rd_kafka_t* handle = producer(servers, "0", "100000");
  rd_kafka_queue_t* reports = rd_kafka_queue_get_main(handle);
  rd_kafka_topic_t* topic = rd_kafka_topic_new(handle, from, NULL);
  open_consumer(&in, servers, to, 1, RD_KAFKA_OFFSET_BEGINNING);
  double* took = calloc((size_t)count, sizeof *took);
  for (int i = -kWarmUp; i < count; ++i) {
    const double start = now();
    send_one(topic, reports, "3", 1);
    ssize_t n;
    while ((n = take(&in, 0, messages)) == 0) wait_for_more(&in);
    for (ssize_t k = 0; k < n; ++k) rd_kafka_message_destroy(messages[k]);
    if (i >= 0) took[i] = (now() - start) * 1000;
  }
  qsort(took, (size_t)count, sizeof *took, by_value);
  printf("%.4f %.4f\n", took[count / 2], took[count * 99 / 100]);
  return 0;
}

int main(int argc, char** argv) {
  const char* part = argc > 2 ? argv[1] : "";
  int code = 2;
  if (!strcmp(part, "create") && argc == 5 && atoi(argv[4]) > 0) code = change(argv[2], argv[3], atoi(argv[4]));
  if (!strcmp(part, "delete") && argc == 4) code = change(argv[2], argv[3], 0);
  if (!strcmp(part, "fill") && argc == 6) code = fill(argv[2], argv[3], atoi(argv[4]), atol(argv[5]));
  if (!strcmp(part, "consume") && argc == 6) code = consume(argv[2], argv[3], atoi(argv[4]), atol(argv[5]));
  if (!strcmp(part, "pass") && argc == 7) code = pass(argv[2], argv[3], argv[4], atoi(argv[5]), atol(argv[6]));
  if (!strcmp(part, "echo") && argc == 5) code = echo(argv[2], argv[3], argv[4]);
  if (!strcmp(part, "ask") && argc == 6) code = ask(argv[2], argv[3], argv[4], atoi(argv[5]));
  if (code == 2) fprintf(stderr, "raw_kafka: see the top of bench/raw_kafka.c for its parts\n");
  fflush(stdout);
  _exit(code); /* closing the clients takes longer than the work */
}

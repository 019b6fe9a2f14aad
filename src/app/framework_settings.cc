#include "app/framework_settings.h"

#include <fmt/format.h>

#include <limits>

#include "app/otlp.h"
#include "base/text.h"
#include "mephisto/cron/time_zone.h"
#include "mephisto/error.h"
#include "mephisto/log.h"

namespace mephisto {
namespace {

using Type = SettingSpec::Type;

constexpr int kMaxShards = 1024;  // a larger number is a typing error

}  // namespace

// Settings that Faust has too have Faust's names.
std::vector<SettingSpec> framework_settings() {
  return {
      {.name = "broker",
       .help = "the log: local://FOLDER, kafka://HOST:PORT (several separated by ;), or memory:// within one process; "
               "empty: local:// in the folder log of datadir",
       .alias = "kafka.servers",
       .check =
           [](const std::string& url) {
             auto usable = check_log_url(url);
             return usable ? std::string{} : usable.error().message;
           },
       .list = true},
      {"datadir", Type::kText, "", "where local state is kept; empty: ID-data in the working directory"},
      {"processing_guarantee",
       Type::kChoice,
       "at_least_once",
       "the guarantee for each record",
       false,
       {"at_least_once", "exactly_once"}},
      {.name = "shards",
       .type = Type::kInteger,
       .default_value = "0",
       .help = "threads of a worker, each with its own part of the partitions; 0: one for each core",
       .most = kMaxShards},
      {.name = "topic_partitions",
       .type = Type::kInteger,
       .default_value = "8",
       .help = "partitions of created topics whose declaration gives no number",
       .least = 1,
       .most = kMaxPartitions},
      {.name = "topic_replication_factor",
       .type = Type::kInteger,
       .default_value = "1",
       .help = "replicas of created topics, where the log has several brokers",
       .least = 1,
       .most = std::numeric_limits<std::int16_t>::max()},
      {"topic_allow_declare", Type::kFlag, "true",
       "whether missing topics are created, by a worker at its start and by later sends (otherwise "
       "an error names them)"},
      {"topic_disable_leader", Type::kFlag, "false",
       "whether to run without the leader topic; then nothing that is on_leader runs, unless there are crontabs"},
      {.name = "timezone",
       .default_value = "UTC",
       .help = "the time zone of crontabs that have none, a name of the IANA database",
       .check =
           [](const std::string& name) {
             const auto zone = TimeZone::find(name);
             return zone ? std::string{} : zone.error().message;
           }},
      {.name = "reply_to_topics",
       .help = "where a request may want its reply, besides reply topics (f-reply-*) and topics that the app "
               "declares: names separated by ;, PREFIX* for all with this prefix",
       .list = true},
      {"consumer_auto_offset_reset",
       Type::kChoice,
       "earliest",
       "where a group without committed offsets starts",
       false,
       {"earliest", "latest"}},
      {.name = "broker_commit_interval",
       .type = Type::kDuration,
       .help = "time between commits; empty: 2.8s, with exactly_once 0.1s",
       .least = 1},
      {.name = "broker_commit_every",
       .type = Type::kInteger,
       .default_value = "10000",
       .help = "commit after this many acknowledged records at the latest",
       .least = 1},
      {.name = "broker_session_timeout",
       .type = Type::kDuration,
       .default_value = "2s",
       .help = "a worker that sends no heartbeat for this long loses its partitions",
       .least = 100},
      {"consumer_group_instance_id", Type::kText, "",
       "a static name for this worker: while it restarts, for at most broker_session_timeout, its group on Kafka keeps "
       "its partitions for it"},
      {.name = "stream_buffer_maxsize",
       .type = Type::kInteger,
       .default_value = "4096",
       .help = "records of a partition that may be delivered after an unacknowledged one",
       .least = 1},
      {"memory_budget", Type::kBytes, "64MiB",
       "bytes of fetched records in the whole worker; if tables are on rocksdb://, three quarters of it are for their "
       "caches and write buffers"},
      {"store", Type::kText, "memory://",
       "where workers keep the state of tables: memory://, which is restored from the changelogs at every start, or "
       "rocksdb://"},
      {"tabledir", Type::kText, "",
       "folder of the stores; empty: the folder tables in the folder of the app's version"},
      {.name = "table_standby_replicas",
       .type = Type::kInteger,
       .default_value = "0",
       .help = "other workers that keep the state of each partition of the tables up to date, so that a takeover takes "
               "no time; each needs the memory or the disk for it"},
      {"table_snapshot_dir", Type::kText, "",
       "folder for snapshots of tables on rocksdb://, which workers on new machines begin with; all machines should "
       "see it; empty: none"},
      {.name = "table_snapshot_interval",
       .type = Type::kDuration,
       .default_value = "10m",
       .help = "time between snapshots",
       .least = 1000},
      {"close_idle", Type::kDuration, "0s",
       "a partition whose stream time stands still for this long closes its windows and answers its joins by the "
       "clock, "
       "if it has no records to process; 0s: only records do that"},
      {"web", Type::kFlag, "true", "whether workers serve web pages"},
      {.name = "web_port",
       .type = Type::kInteger,
       .default_value = "6066",
       .help = "port of the web pages, 0: any free one; if the default is taken, the next free one",
       .most = 65535},
      {"web_bind", Type::kText, "127.0.0.1", "the address that the web pages are served on; 0.0.0.0 or :: for all"},
      {"web_host", Type::kText, "",
       "the name by which other machines and workers reach this worker's web pages; empty: the machine's name"},
      {.name = "web_token",
       .help =
           "who asks for a page must give this token: Authorization: Bearer TOKEN, or ?token=TOKEN once in a browser",
       .secret = true},
      {"web_auth",
       Type::kChoice,
       "token",
       "none: the pages are open to everybody who reaches web_bind, without a token",
       false,
       {"token", "none"}},
      {"web_tls_certificate", Type::kText, "",
       "file in PEM with the certificate of the web pages, and those that lead to its authority; empty: no TLS"},
      {"web_tls_key", Type::kText, "", "file in PEM with the certificate's key, without a password"},
      {.name = "web_cors_origins",
       .help = "origins whose pages may read these pages in a browser, like https://shop.example; * for all",
       .list = true},
      {"web_drain_delay", Type::kDuration, "0s",
       "how long a worker goes on after it was told to stop, while /ready says 503, so that load balancers send it no "
       "more requests"},
      {"drain_timeout", Type::kDuration, "10s",
       "how long a stop, or a partition that moves, waits for events in progress, and a command after a signal for "
       "what it sent"},
      {.name = "statsd",
       .help = "where metrics are sent, in the form of statsd: HOST:PORT (UDP); empty: nowhere",
       .check =
           [](const std::string& place) {
             const auto colon = place.rfind(':');
             int port = 0;
             return colon != std::string::npos && colon > 0 && take_number(place.substr(colon + 1), port) && port > 0 &&
                            port < 65536
                        ? std::string{}
                        : "\"" + printable(place) + "\" is not HOST:PORT";
           }},
      {"statsd_tags",
       Type::kChoice,
       "none",
       "datadog: labels are sent as Datadog's tags; none: they are a part of the name",
       false,
       {"none", "datadog"}},
      {.name = "statsd_interval",
       .type = Type::kDuration,
       .default_value = "10s",
       .help = "time between two sendings to statsd",
       .least = 100},
      {.name = "otlp",
       .help =
           "the collector that metrics and traces are sent to by OTLP/HTTP, like http://127.0.0.1:4318; empty: none",
       .check =
           [](const std::string& url) {
             if (auto usable = check_http_url(url); !usable) return usable.error().message;
             return url.find_first_of("?#") == std::string::npos ? std::string{}
                                                                 : "the paths of OTLP are added to it: it has no query";
           }},
      {.name = "otlp_headers",
       .help = "headers of the requests to the collector, for its passwords: NAME=VALUE, several separated by ;",
       .secret = true,
       .check =
           [](const std::string& text) {
             auto headers = parse_otlp_headers(text);
             return headers ? std::string{} : headers.error().message;
           },
       .list = true},
      {.name = "otlp_interval",
       .type = Type::kDuration,
       .default_value = "10s",
       .help = "time between two sendings of metrics to the collector",
       .least = 100},
      {.name = "trace_sample",
       .help = "the part of the records without a traceparent whose way is traced, from 0 to 1; others are traced if "
               "their sender says so; empty: no traces",
       .check =
           [](const std::string& text) {
             double ratio = -1;
             return take_number(text, ratio) && ratio >= 0 && ratio <= 1
                        ? std::string{}
                        : "\"" + printable(text) + "\" is not a number from 0 to 1";
           }},
      {"log_format",
       Type::kChoice,
       "text",
       "the form of log lines: text, or a JSON object a line, with topic, partition, offset and trace of the event in "
       "progress",
       false,
       {"text", "json"}},
      {.name = "maintenance_interval",
       .type = Type::kDuration,
       .default_value = "5m",
       .help = "time between applications of retention and compaction",
       .least = 1000},
  };
}

}  // namespace mephisto

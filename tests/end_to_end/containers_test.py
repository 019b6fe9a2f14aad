"""docker-compose.yml and the Dockerfile, as far as they can be checked without a container engine (dev/image runs the
Dockerfile's steps)."""
import re
import subprocess
import unittest

import yaml

from support import HORTON, ROOT, Scene

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
KNOWN = {"image", "build", "command", "profiles", "environment", "ports", "volumes", "depends_on", "healthcheck", "restart",
         "stop_grace_period"}
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-slim)?")
DURATION = re.compile(r"\d+(ms|s|m)")


class Compose(unittest.TestCase):
    def test_has_kafka_mongodb_a_page_on_the_topics_and_horton(self):
        self.assertEqual(set(SERVICES), {"kafka", "mongo", "topics", "horton", "prometheus", "grafana"})
        self.assertEqual([name for name, service in SERVICES.items() if "profiles" in service],
                         ["horton", "prometheus", "grafana"], "started only when it is asked for")
        self.assertEqual(SERVICES["topics"]["ports"], ["127.0.0.1:9000:9000"])

    def test_says_only_what_compose_knows(self):
        self.assertLessEqual(set(COMPOSE), {"name", "services", "volumes"})
        for name, service in SERVICES.items():
            with self.subTest(name):
                self.assertLessEqual(set(service), KNOWN)
                self.assertRegex(service["image"], PINNED)
                for port in service.get("ports", []):
                    self.assertRegex(port, r"^127\.0\.0\.1:\d+:\d+$")
                for volume in service.get("volumes", []):
                    source = volume.split(":")[0]
                    if source.startswith("./"):
                        self.assertTrue((ROOT / source).exists(), source)
                        self.assertTrue(volume.endswith(":ro"))
                    else:
                        self.assertIn(source, COMPOSE["volumes"])
                for value in service["environment"].values():
                    self.assertIsInstance(value, (str, int), "not a YAML flag, which compose refuses")
                    self.assertNotIsInstance(value, bool)

    def test_every_service_has_a_health_check(self):
        for name, service in SERVICES.items():
            with self.subTest(name):
                health = service["healthcheck"]
                self.assertLessEqual(set(health), {"test", "interval", "timeout", "retries", "start_period"})
                self.assertIn(health["test"][0], ("CMD", "CMD-SHELL"))
                for length in ("interval", "timeout", "start_period"):
                    self.assertRegex(health[length], DURATION)
                for other, how in service.get("depends_on", {}).items():
                    self.assertEqual((other in SERVICES, how), (True, {"condition": "service_healthy"}))


class Watched(unittest.TestCase):
    def test_prometheus_scrapes_horton_with_the_alerts(self):
        config = ROOT / "ops/compose/prometheus.yml"
        job, = yaml.safe_load(config.read_text())["scrape_configs"]
        self.assertEqual(job["static_configs"], [{"targets": ["horton:6066"]}])
        self.assertIn("mephisto", job["job_name"])
        self.assertNotIn("6066", str(SERVICES["horton"].get("ports", [])), "its pages need no token")
        done = subprocess.run(["promtool", "check", "config", "--syntax-only", config], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_grafana_finds_prometheus_and_the_dashboard(self):
        source, = yaml.safe_load((ROOT / "ops/compose/grafana/datasource.yml").read_text())["datasources"]
        self.assertEqual((source["url"], source["isDefault"]), ("http://prometheus:9090", True))
        folders = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"]}
        provider, = yaml.safe_load((ROOT / "ops/compose/grafana/dashboards.yml").read_text())["providers"]
        self.assertTrue((ROOT / folders[provider["options"]["path"]] / "mephisto.json").exists())


class OnTheComposeFile(Scene):
    def test_horton_takes_its_environment_and_the_configuration_of_the_comment(self):
        environment = {name: str(value) for name, value in SERVICES["horton"]["environment"].items()
                       if name != "HORTON_SERVICE_APIKEY"}
        rows = {row["setting"]: row for row in self.rows("config", env=environment)}
        self.assertEqual([rows[name]["value"] for name in ("broker", "mongo.host", "mongo.username", "mongo.password")],
                         ["kafka://kafka:19092", "mongo", "admin", "***"])
        comment = re.findall(r"^#   (\w+: \{.*)$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
        (self.folder / "config.yml").write_text("\n".join(comment))
        rows = {row["setting"]: row for row in self.rows("config")}
        self.assertEqual(rows["mongo.port"]["value"], SERVICES["mongo"]["ports"][0].split(":")[1])
        self.assertEqual(rows["broker"]["value"], "kafka://localhost:9092")


def packages_with(names):
    """The named packages and all their dependencies."""
    found, open_names = set(), list(names)
    while open_names:
        name = open_names.pop()
        if name in found:
            continue
        found.add(name)
        got = subprocess.run(["dpkg-query", "-W", "-f=${Depends}, ${Pre-Depends}", name], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
        open_names += re.findall(r"(?:^|[,|]\s*)([a-z0-9][a-z0-9.+-]+)", got.stdout)
    return found


class Image(unittest.TestCase):
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    build, _, image = text.partition("\nFROM ")[2].partition("\nFROM ")

    def test_is_of_two_stages_with_their_versions_and_not_of_root(self):
        for line in re.findall(r"^FROM (\S+)", self.text, re.MULTILINE):
            self.assertRegex(line, PINNED)
        self.assertEqual(len(re.findall("^FROM", self.text, re.MULTILINE)), 2)
        self.assertEqual(re.findall(r"^USER (\S+)", self.image, re.MULTILINE), ["horton"])
        self.assertNotIn("-dev", self.image)

    def test_has_every_library_of_the_program(self):
        listed = re.search(r"apt-get install -y --no-install-recommends ([^&]+)", self.image).group(1).split()
        there = packages_with(listed)
        paths = re.findall(r"=> (/\S+)",
                           subprocess.run(["ldd", HORTON], check=True, stdout=subprocess.PIPE, text=True).stdout)
        self.assertTrue(paths)
        for path in paths:
            # dpkg knows a library by one of its paths, the one that the package names.
            names = {path, path.replace("/lib/", "/usr/lib/", 1), path.replace("/usr/lib/", "/lib/", 1)}
            owner = subprocess.run(["dpkg-query", "-S", *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   text=True).stdout.split(":")[0]
            self.assertIn(owner, there, f"{path} is missing in the image")

    def test_builds_with_the_packages_that_dev_packages_names(self):
        listed = set(re.search(r"apt-get install -y --no-install-recommends ([^\n]+)", self.build).group(1).split())
        known = {name for line in (ROOT / "dev/packages").read_text().splitlines() if not line.startswith("#")
                 for name in line.split()}
        self.assertLessEqual(listed, known)


if __name__ == "__main__":
    unittest.main()

import subprocess
import sys
from pathlib import Path

import pytest

from deployments.tracing import variables
from deployments.tracing.variables import BadVariableError
from serve_app import config
from serve_app.config import ConfigError

ON = {"OTEL_TRACES_EXPORTER": "otlp"}
_OTLP = "OTEL_EXPORTER_OTLP_"


def refusal(**given: str) -> str:
    """Why these variables are refused: one line, whatever it quotes."""
    with pytest.raises(BadVariableError) as refused:
        variables.check(ON | given)
    line = str(refused.value)
    assert line.splitlines() == [line]
    return line


class TestWhetherThereAreTraces:
    def test_there_are_none_by_default(self) -> None:
        assert not variables.are_on({})

    @pytest.mark.parametrize("name", ["ENDPOINT", "TRACES_ENDPOINT"])
    def test_to_name_an_endpoint_turns_them_on(self, name: str) -> None:
        assert variables.exporters({_OTLP + name: "http://a:4318"}) == ["otlp"]

    @pytest.mark.parametrize("name", ["METRICS_ENDPOINT", "LOGS_ENDPOINT"])
    def test_an_endpoint_for_something_else_does_not(self, name: str) -> None:
        assert not variables.are_on({_OTLP + name: "http://a:4318"})

    def test_so_does_to_name_an_exporter(self) -> None:
        assert variables.exporters({"OTEL_TRACES_EXPORTER": "otlp, console"}) == ["otlp", "console"]

    def test_none_turns_them_off_whatever_the_endpoint(self) -> None:
        given = {"OTEL_TRACES_EXPORTER": "none", f"{_OTLP}ENDPOINT": "http://a:4318"}
        assert not variables.are_on(given)

    def test_to_disable_the_sdk_wins(self) -> None:
        assert not variables.are_on(ON | {"OTEL_SDK_DISABLED": "True"})

    def test_what_is_wrong_does_not_matter_while_they_are_off(self) -> None:
        variables.check({"OTEL_TRACES_SAMPLER": "jaeger_remote"})


class TestTheProtocol:
    def test_is_http_as_opentelemetry_has_it(self) -> None:
        assert variables.protocol({f"{_OTLP}ENDPOINT": "http://a:4318"}) == variables.HTTP

    @pytest.mark.parametrize("endpoint", ["http://a:4317", "a:4317"])
    def test_is_grpc_on_the_port_that_is_grpcs(self, endpoint: str) -> None:
        assert variables.protocol({f"{_OTLP}ENDPOINT": endpoint}) == variables.GRPC

    def test_is_what_is_named_for_traces_before_what_is_named_for_all(self) -> None:
        given = {f"{_OTLP}PROTOCOL": "grpc", f"{_OTLP}TRACES_PROTOCOL": "http/protobuf"}
        assert variables.protocol(given) == variables.HTTP


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("name", "value", "line"),
        [
            ("TRACES_EXPORTER", "zipkin", "must be one or more of otlp, console, none"),
            ("SDK_DISABLED", "yes", "must be true or false, not 'yes'"),
            ("TRACES_SAMPLER", "jaeger_remote", "must be always_on or always_off or"),
            ("PROPAGATORS", "b3", "must be one or more of tracecontext, baggage, none"),
            ("RESOURCE_ATTRIBUTES", "a", "must be key=value"),
            ("BSP_SCHEDULE_DELAY", "0", "must be a whole number from 1 up"),
            ("BSP_MAX_QUEUE_SIZE", "many", "must be a whole number from 1 up"),
            ("BSP_EXPORT_TIMEOUT", "1", "set OTEL_EXPORTER_OTLP_TIMEOUT"),
            ("SPAN_EVENT_COUNT_LIMIT", "-1", "must be a whole number from 0 up"),
            ("CONFIG_FILE", "a.yaml", "takes variables only"),
            ("EXPORTER_OTLP_PROTOCOL", "http/json", "must be grpc or http/protobuf"),
            ("EXPORTER_OTLP_TIMEOUT", "soon", "must be a number of seconds above 0"),
            ("EXPORTER_OTLP_COMPRESSION", "zstd", "must be none or gzip"),
            ("EXPORTER_OTLP_INSECURE", "1", "must be true or false"),
            ("EXPORTER_OTLP_CERTIFICATE", "/no/such", "must be a file that is there"),
            ("EXPORTER_OTLP_ENDPOINT", "collector:4318", "must be a URL, such as"),
            ("EXPORTER_OTLP_ENDPOINT", "unix:///a", "must begin with http:// or https://"),
            ("EXPORTER_OTLP_ENDPOINT", "http://a:port", "must be a URL"),
            ("EXPORTER_OTLP_TRACES_ENDPOINT", "http://", "must be a URL"),
            ("TRACE_SAMPLER", "always_on", "has no such variable; correct its name"),
            ("EXPORTER_OTLP_ENDPOINTS", "http://a", "has no such variable"),
            ("INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "event_only", "or span_only or"),
        ],
    )
    def test_is_named_with_what_to_do(self, name: str, value: str, line: str) -> None:
        refused = refusal(**{f"OTEL_{name}": value})
        assert refused.startswith(f"OTEL_{name}: ")
        assert line in refused

    @pytest.mark.parametrize("value", ["", "ten", "1.1", "-0.1", "nan"])
    def test_a_ratio_that_is_none(self, value: str) -> None:
        given = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": value}
        assert "must be a number from 0 to 1" in refusal(**given)

    def test_a_ratio_without_a_sampler_that_takes_one(self) -> None:
        line = refusal(OTEL_TRACES_SAMPLER_ARG="0.1")
        assert line.endswith("set OTEL_TRACES_SAMPLER=parentbased_traceidratio, or unset it")

    def test_batches_that_are_larger_than_the_queue(self) -> None:
        assert "lower it" in refusal(OTEL_BSP_MAX_QUEUE_SIZE="100")

    def test_headers_are_not_quoted(self) -> None:
        assert "s3cret" not in refusal(OTEL_EXPORTER_OTLP_HEADERS="s3cret")

    def test_it_is_so_where_the_configuration_is_read(
        self, monkeypatch: pytest.MonkeyPatch, no_setting_in_the_environment: None
    ) -> None:
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
        with pytest.raises(ConfigError, match="environment: OTEL_TRACES_EXPORTER: must be"):
            config.load()


class TestWhatIsTaken:
    def test_what_there_is_for_traces(self, tmp_path: Path) -> None:
        certificate = tmp_path / "ca.pem"
        certificate.touch()
        variables.check(
            {
                "OTEL_TRACES_EXPORTER": "otlp,console",
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.1",
                "OTEL_PROPAGATORS": "tracecontext,baggage",
                "OTEL_SERVICE_NAME": "chat",
                "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,a=b",
                "OTEL_BSP_SCHEDULE_DELAY": "1000",
                "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "64",
                f"{_OTLP}ENDPOINT": "https://collector.example.com",
                f"{_OTLP}TRACES_HEADERS": "authorization=Bearer%20x",
                f"{_OTLP}CERTIFICATE": str(certificate),
                f"{_OTLP}TIMEOUT": "2.5",
                f"{_OTLP}COMPRESSION": "gzip",
            }
        )

    def test_others_signals_and_others_variables_are_not_ours(self) -> None:
        others = {f"{_OTLP}METRICS_PROTOCOL": "http/json", "OTEL_NODE_RESOURCE_DETECTORS": "all"}
        variables.check(ON | others | {"OTEL_METRICS_EXPORTER": "otlp"})

    def test_an_empty_one_counts_as_unset(self) -> None:
        environ = {"OTEL_TRACES_EXPORTER": " ", "OTEL_SERVICE_NAME": "a", "PATH": "/bin"}
        assert variables.of(environ) == {"OTEL_SERVICE_NAME": "a"}

    def test_space_around_a_value_is_none_of_it(self) -> None:
        assert variables.of({"OTEL_TRACES_SAMPLER": " always_on\n"}) == {
            "OTEL_TRACES_SAMPLER": "always_on"
        }

    def test_they_can_be_taken_out_of_an_environment(self) -> None:
        environ = {"OTEL_TRACES_EXPORTER": "", "OTEL_SERVICE_NAME": "a", "PATH": "/bin"}
        assert variables.take(environ) == {"OTEL_SERVICE_NAME": "a"}
        assert environ == {"PATH": "/bin"}

    def test_text_is_wanted_only_by_the_conventions_words_for_it(self) -> None:
        name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
        wanting = [
            v
            for v in ("true", "SPAN_ONLY", "false", "NO_CONTENT", "")
            if variables.want_content({name: v})
        ]
        assert wanting == ["true", "SPAN_ONLY"]
        assert not variables.want_content({})

    def test_a_clients_context_counts_unless_propagators_leave_it_out(self) -> None:
        assert variables.takes_context({})
        assert variables.takes_context({"OTEL_PROPAGATORS": "baggage, tracecontext"})
        assert not variables.takes_context({"OTEL_PROPAGATORS": "none"})


def test_nothing_of_opentelemetry_is_imported_to_find_that_out() -> None:
    program = (
        "import sys; from deployments.tracing import variables, context\n"
        "import serve_app.config; serve_app.config.load()\n"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

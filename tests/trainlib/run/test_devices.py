"""The device line, the platform check and the compilation cache's place."""

import jax
import pytest

from trainlib.core.errors import UserError
from trainlib.run import devices


def test_the_line_counts_and_names():
    assert devices.device_line() == f"{jax.local_device_count()} x cpu (host)"


def test_an_accelerator_is_named_by_its_kind(monkeypatch):
    class Gpu:
        platform = "gpu"
        device_kind = "NVIDIA H200"

    monkeypatch.setattr(jax, "local_devices", lambda: [Gpu()] * 8)
    assert devices.device_line() == "8 x NVIDIA H200"
    devices.check_platform("gpu")
    with pytest.raises(UserError, match="'cpu' but JAX runs on 'gpu'"):
        devices.check_platform("cpu")


def test_the_platform_of_the_config_is_kept():
    devices.check_platform("any")
    devices.check_platform("cpu")
    with pytest.raises(UserError, match=r"'gpu' but JAX runs on 'cpu' \(\d+ x cpu \(host\)\).*platform=any"):
        devices.check_platform("gpu")
    with pytest.raises(UserError, match="'cuda'; known: any, cpu, gpu, tpu"):
        devices.check_platform("cuda")


def test_no_device_at_all_is_a_users_error(monkeypatch):
    def fail():
        raise RuntimeError("Unable to initialize backend 'cuda'")

    monkeypatch.setattr(jax, "local_devices", fail)
    with pytest.raises(UserError, match="JAX finds no such device: Unable to initialize backend 'cuda'"):
        devices.device_line()


@pytest.fixture
def cache_options():
    """Puts JAX's options back after the test."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("cache_options")
def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "named"))
    assert devices.enable_compilation_cache() == tmp_path / "named"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "named")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert devices.enable_compilation_cache() == tmp_path / "xdg" / "vmnet-sdclr-jax" / "xla"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert devices.enable_compilation_cache() == tmp_path / "home" / ".cache" / "vmnet-sdclr-jax" / "xla"


@pytest.mark.usefixtures("cache_options")
@pytest.mark.parametrize("place", ["file", "file/cache", "x" * 300])
def test_an_unwritable_cache_is_said_and_left_out(monkeypatch, tmp_path, caplog, place):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / place))
    assert devices.enable_compilation_cache() is None
    assert "cannot write" in caplog.text


@pytest.mark.parametrize("failure", [AssertionError(), RuntimeError("Unable to initialize backend 'cuda': x.")])
def test_a_platform_of_the_environment_without_a_device_is_a_sentence(monkeypatch, failure):
    def fail():
        raise failure

    monkeypatch.setattr(jax, "local_devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(UserError, match=r"JAX_PLATFORMS is 'cuda', but .*Unset JAX_PLATFORMS"):
        devices.device_line()

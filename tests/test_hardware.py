import logging
import types

import jax
import pytest

from simsearch import hardware


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, logger="simsearch")

    def messages():
        hardware.log_devices()
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    return messages


def test_the_devices_are_named_first(told, monkeypatch):
    monkeypatch.setattr(hardware, "_nvidia_cards", lambda: [])
    monkeypatch.setattr(hardware, "_has_cuda_plugin", lambda: False)
    assert told() == [("INFO", f"jax {jax.__version__} on 2 x cpu")]


def test_a_gpu_that_jax_was_kept_off_is_told(told, monkeypatch):
    monkeypatch.setattr(hardware, "_nvidia_cards", lambda: ["NVIDIA H100"])
    level, message = told()[1]
    assert level == "WARNING" and "NVIDIA H100" in message and "JAX_PLATFORMS=cpu" in message
    monkeypatch.delenv("JAX_PLATFORMS")
    message = told()[-1][1]
    assert "`make clean install`" in message and "requirements-cuda.txt" in message


def test_a_cuda_build_without_a_gpu_is_told(told, monkeypatch):
    monkeypatch.setattr(hardware, "_nvidia_cards", lambda: [])
    monkeypatch.setattr(hardware, "_has_cuda_plugin", lambda: True)
    assert "no NVIDIA GPU answers" in told()[1][1]


def test_a_gpu_in_use_is_no_warning(told, monkeypatch):
    card = types.SimpleNamespace(platform="gpu", device_kind="NVIDIA H100")
    monkeypatch.setattr(hardware.parallel, "local_devices", lambda _=0: [card])
    # Nothing is asked that takes time and changes nothing.
    monkeypatch.delattr(hardware, "_nvidia_cards")
    monkeypatch.delattr(hardware, "_has_cuda_plugin")
    assert told() == [("INFO", f"jax {jax.__version__} on 1 x NVIDIA H100 (gpu)")]


def test_a_program_that_took_a_second_to_compile_is_kept(tmp_path):
    names = ("min_compile_time_secs", "min_entry_size_bytes")
    before = [getattr(jax.config, f"jax_persistent_cache_{name}") for name in names]
    try:
        hardware.enable_compilation_cache(str(tmp_path))
        assert jax.config.jax_compilation_cache_dir == str(tmp_path)
        assert jax.config.jax_persistent_cache_min_compile_time_secs < 1
        assert jax.config.jax_persistent_cache_min_entry_size_bytes < 1
    finally:
        for name, value in zip(names, before, strict=True):
            jax.config.update(f"jax_persistent_cache_{name}", value)


def test_cards_are_asked_of_nvidia_smi(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware._nvidia_cards() == []
    tool.write_text("#!/bin/sh\necho 'NVIDIA A'\necho 'NVIDIA B'\n")
    tool.chmod(0o755)
    assert hardware._nvidia_cards() == ["NVIDIA A", "NVIDIA B"]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert hardware._nvidia_cards() == []

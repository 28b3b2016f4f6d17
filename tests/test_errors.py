import jax
import pytest

from simsearch import errors


@pytest.mark.parametrize(
    "cause",
    [
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating 9 bytes."),
        MemoryError("Unable to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_is_one_line_with_advice(cause):
    with pytest.raises(errors.OutOfMemoryError) as caught, errors.out_of_memory("buy some"):
        raise cause
    assert str(caught.value).startswith("the memory does not suffice: ")
    assert str(caught.value).endswith("; buy some") and "\n" not in str(caught.value)
    assert "RESOURCE_EXHAUSTED" not in str(caught.value) and caught.value.__cause__ is cause


@pytest.mark.parametrize(
    "cause",
    [
        jax.errors.JaxRuntimeError("INTERNAL: a bug"),
        errors.RunError("the disk is full: RESOURCE_EXHAUSTED"),
        errors.OutOfMemoryError("the memory does not suffice; lower train.batch_size"),
    ],
)
def test_other_failures_stay_what_they_are(cause):
    with pytest.raises(type(cause)) as caught, errors.out_of_memory("buy some"):
        raise cause
    assert caught.value is cause

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Threads on tiny tensors wait for each other longer than they work, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

import numpy as np
import pytest
import torch

from latlas.errors import UsageError
from latlas.spaces.portrait import PortraitSpace
from latlas.supernet.data.dataset import synthetic
from latlas.supernet.networks.network import Supernet
from latlas.supernet.networks.recalibrate import recalibrate
from latlas.supernet.training.quality import evaluate, score, score_subnet

TINY = PortraitSpace(
    height=32, width=32, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), stem_channels=8, decoder_channels=8, aspp_channels=8
)


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    return Supernet(TINY).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def test_a_score_is_that_of_the_recalibrated_subnet(supernet):
    architecture = TINY.random(np.random.default_rng(0))
    images, validation = [torch.rand(4, 3, 64, 64)], synthetic(6, 32, 32, seed=1)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    found = score(supernet, architecture, images, validation, batch_size=4)
    subnet = recalibrate(supernet.extract(architecture), images)
    assert found == evaluate(subnet, validation, 4, boundary=False)
    assert found.miou == score_subnet(subnet, validation, batch_size=4).miou
    assert 0 <= found.miou <= 1
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.state_dict().items())
    with pytest.raises(UsageError, match="given no images"):
        score(supernet, architecture, [], validation)


def test_a_subnet_keeps_its_mode_and_statistics(supernet):
    subnet = supernet.extract(TINY.random(np.random.default_rng(0))).train()
    before = {name: tensor.clone() for name, tensor in subnet.state_dict().items()}
    score_subnet(subnet, synthetic(2, 32, 32))
    assert subnet.training
    assert all(torch.equal(before[name], tensor) for name, tensor in subnet.state_dict().items())

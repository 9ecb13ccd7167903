import numpy as np
import pytest
import torch

from latlas.search.gradient.distribution import Adam


@pytest.mark.parametrize("betas", [(0.0, 0.999), (0.9, 0.99)])
def test_steps_are_torchs(betas):
    rng = np.random.default_rng(0)
    ours = [rng.normal(size=3), rng.normal(size=(2, 4))]
    theirs = [torch.tensor(one) for one in ours]
    adam, reference = Adam(ours, 0.02, betas), torch.optim.Adam(theirs, lr=0.02, betas=betas)
    for _ in range(7):
        gradient = [rng.normal(size=one.shape) * 1e-3 for one in ours]
        adam.step(gradient)
        for tensor, g in zip(theirs, gradient, strict=True):
            tensor.grad = torch.tensor(g)
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-9)


def test_what_was_not_sampled_stays_where_it_is():
    weights = [np.array([1.0, 2.0])]
    adam = Adam(weights, 0.1)
    adam.step([np.array([0.5, 0.0])])
    adam.step([np.array([0.0, 0.0])])
    assert weights[0].tolist() == pytest.approx([0.9, 2.0])

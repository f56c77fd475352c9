"""The updates of TD3+BC and SAC in plain PyTorch, as a reference for speed.

They are written like those of CORL (https://github.com/tinkoff-ai/CORL): `nn.Sequential` networks, two separate
critics, `torch.optim.Adam`, and a Python loop that draws a batch from tensors on the device and updates. Losses, sizes
and batches are those of this package. `torch.compile` is not used, as in CORL.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from benchmarks.learners import Size

OBSERVATION, ACTION, ROWS = 11, 3, 100_000
DISCOUNT, POLYAK = 0.99, 0.005


def perceptron(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Hidden layers with ReLU, and a linear output layer."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def random_data(device: torch.device) -> list[torch.Tensor]:
    """Random observations, actions, rewards, next observations and terminals: the time depends on shapes only."""
    generator = torch.Generator().manual_seed(0)
    columns = (OBSERVATION, ACTION, 1, OBSERVATION)
    data = [torch.randn(ROWS, width, generator=generator).tanh() for width in columns]
    return [x.to(device) for x in (*data, (torch.rand(ROWS, 1, generator=generator) < 0.005).float())]


def draw(data: list[torch.Tensor], batch: int) -> list[torch.Tensor]:
    """Draws a batch with replacement."""
    rows = torch.randint(0, ROWS, (batch,), device=data[0].device)
    return [x[rows] for x in data]


@torch.no_grad()
def track(network: nn.Module, target: nn.Module) -> None:
    """The Polyak update of a target network."""
    for parameter, slow in zip(network.parameters(), target.parameters(), strict=True):
        slow.data.mul_(1.0 - POLYAK).add_(parameter.data, alpha=POLYAK)


def critic_value(critic: nn.Module, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    """``Q(s, a)``, ``[batch, 1]``."""
    return critic(torch.cat([observation, action], dim=1))


def td3_bc(size: Size, device: torch.device) -> Callable[[list[torch.Tensor]], None]:
    """An update function of TD3+BC, which updates the policy and the targets in every second call."""
    actor = nn.Sequential(perceptron(OBSERVATION, size.hidden, ACTION), nn.Tanh()).to(device)
    critics = [perceptron(OBSERVATION + ACTION, size.hidden, 1).to(device) for _ in range(2)]
    targets, actor_target = copy.deepcopy(critics), copy.deepcopy(actor)
    critic_optimizer = torch.optim.Adam([p for c in critics for p in c.parameters()], lr=3e-4)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=3e-4)
    calls = 0

    def update(batch: list[torch.Tensor]) -> None:
        nonlocal calls
        calls += 1
        s, a, r, s2, terminal = batch
        with torch.no_grad():
            noise = (torch.randn_like(a) * 0.2).clamp(-0.5, 0.5)
            a2 = (actor_target(s2) + noise).clamp(-1.0, 1.0)
            q2 = torch.min(*(critic_value(c, s2, a2) for c in targets))
            target = r + DISCOUNT * (1.0 - terminal) * q2
        loss = torch.stack([f.mse_loss(critic_value(c, s, a), target) for c in critics]).sum()
        critic_optimizer.zero_grad()
        loss.backward()
        critic_optimizer.step()
        if calls % 2 == 0:
            pi = actor(s)
            q = critic_value(critics[0], s, pi)
            actor_loss = -2.5 / q.abs().mean().detach() * q.mean() + f.mse_loss(pi, a)
            actor_optimizer.zero_grad()
            actor_loss.backward()
            actor_optimizer.step()
            for critic, slow in zip(critics, targets, strict=True):
                track(critic, slow)
            track(actor, actor_target)

    return update


def sac(size: Size, device: torch.device) -> Callable[[list[torch.Tensor]], None]:
    """An update function of SAC for critics, policy, temperature and targets."""
    actor = perceptron(OBSERVATION, size.hidden, 2 * ACTION).to(device)
    critics = [perceptron(OBSERVATION + ACTION, size.hidden, 1).to(device) for _ in range(2)]
    targets = copy.deepcopy(critics)
    log_temperature = torch.zeros(1, device=device, requires_grad=True)
    critic_optimizer = torch.optim.Adam([p for c in critics for p in c.parameters()], lr=3e-4)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=1e-4)
    temperature_optimizer = torch.optim.Adam([log_temperature], lr=3e-4)

    def sample(s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = actor(s).chunk(2, dim=1)
        log_std = log_std.clamp(-20.0, 2.0)
        normal = torch.distributions.Normal(mean, log_std.exp())
        u = normal.rsample()
        correction = 2.0 * (0.6931471805599453 - u - f.softplus(-2.0 * u))
        return u.tanh(), (normal.log_prob(u) - correction).sum(1, keepdim=True)

    def update(batch: list[torch.Tensor]) -> None:
        s, a, r, s2, terminal = batch
        with torch.no_grad():
            a2, _ = sample(s2)
            q2 = torch.min(*(critic_value(c, s2, a2) for c in targets))
            target = r + DISCOUNT * (1.0 - terminal) * q2
        loss = torch.stack([f.mse_loss(critic_value(c, s, a), target) for c in critics]).sum()
        critic_optimizer.zero_grad()
        loss.backward()
        critic_optimizer.step()
        pi, log_prob = sample(s)
        q = torch.min(*(critic_value(c, s, pi) for c in critics))
        actor_loss = (log_temperature.exp().detach() * log_prob - q).mean()
        actor_optimizer.zero_grad()
        actor_loss.backward()
        actor_optimizer.step()
        temperature_loss = -(log_temperature.exp() * (log_prob.detach() - ACTION)).mean()
        temperature_optimizer.zero_grad()
        temperature_loss.backward()
        temperature_optimizer.step()
        for critic, slow in zip(critics, targets, strict=True):
            track(critic, slow)

    return update


UPDATES: dict[str, Callable[[Size, torch.device], Callable[[list[torch.Tensor]], None]]] = {
    "td3_bc": td3_bc,
    "sac": sac,
}


def make_loop(name: str, size: Size, length: int) -> Callable[[], Any]:
    """A loop of ``length`` updates, each on a new batch."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    update, data = UPDATES[name](size, device), random_data(device)
    batch = size.online_batch if name == "sac" else size.offline_batch

    def run() -> None:
        for _ in range(length):
            update(draw(data, batch))
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run

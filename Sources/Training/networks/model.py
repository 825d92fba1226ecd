# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The networks, leaves before root. Sources/Diffusion and Sources/Speech are their twins: same names, same order.

Shapes here are PyTorch's [B, C, H, W]; the Swift side holds [H, W, C]. Pixels are RGB in -1 ... 1.
SyncDiff (arXiv 2503.13371) names the parts; what it leaves open is decided here and argued in meta/decisions/.
"""
import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from data.speech import MELS, log_mel

BORDER, EDGE = 4, 10  # px at the window's edges that are not painted, and over which the painting fades out inside of them


@dataclass
class Config:
    window: int = 80              # px, side of the mouth's window
    latent_channels: int = 4
    ae_channels: tuple = (24, 48, 96)
    unet_channels: tuple = (64, 128, 192)
    groups: int = 8               # of every GroupNorm
    head: int = 32                # channels of one attention head
    embedding: int = 256          # width of the conditioning vector
    prior: int = 6                # values that pass the previous-frame bottleneck
    audio_width: int = 192
    audio_layers: int = 3
    audio_past: int = 10          # stacks of 40 ms before the picture's own
    audio_future: int = 3         # stacks after it
    coefficients: int = 12        # numbers that say how a mouth is shaped (data/geometry.py)
    steps: int = 2
    av_hubert: int = 0            # channels of AV-HuBERT if that is the audio encoder (avhubert.py); 0: AudioEncoder

    @property
    def tokens(self):
        return self.audio_past + 1 + self.audio_future

    def dict(self):
        fields = asdict(self)
        if not self.av_hubert:
            del fields["av_hubert"]
        return fields


def attention(q, k, v):
    """Scaled dot-product attention over [B, heads, T, D]. Written out: for a few tokens PyTorch's fused kernel is slower
    on a CPU, several times so in its backward pass."""
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v


def autocast(device):
    """bfloat16 where the hardware computes with it; elsewhere it is several times slower than float32."""
    fast = device != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device, torch.bfloat16, enabled=fast)


# ---------------------------------------------------------------- audio encoder

class AudioLayer(nn.Module):
    """Pre-norm transformer layer over [B, T, C]. gelu: the `approximate` of PyTorch's function."""

    def __init__(self, width, heads, expansion=3, gelu="tanh"):
        super().__init__()
        self.heads, self.gelu = heads, gelu
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, expansion * width)
        self.fc2 = nn.Linear(expansion * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(attention(q, k, v).transpose(1, 2).reshape(b, t, c))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate=self.gelu))


class Causal(AudioLayer):
    """The same with exact GELU, over a stream: each of x [B, T, C] listens to itself, to the BEFORE that came before it and to the
    AFTER that follow. Where another one is, is told by `near`, which its key is asked with, and by `carry`, which its value
    brings along (Shaw et al., arXiv 1803.02155): Whisper's positions are those of half a minute's place and of no use in a
    stream that does not end."""
    BEFORE = 50

    def __init__(self, width, heads, after):
        super().__init__(width, heads, expansion=4, gelu="none")
        self.after = after
        self.near, self.carry = (nn.Parameter(torch.zeros(heads, self.BEFORE + 1 + after, width // heads)) for _ in range(2))

    def forward(self, x):
        b, t, c = x.shape
        span, places = self.near.shape[1], torch.arange(t, device=x.device)
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        distance = places - places[:, None] + self.BEFORE
        hidden = (distance < 0) | (distance >= span)
        asked = (q @ self.near.to(q).transpose(-1, -2)).gather(-1, distance.clamp(0, span - 1).expand(b, self.heads, t, t))
        shares = (q @ k.transpose(-1, -2) + asked) / math.sqrt(q.shape[-1])
        shares = shares.float().masked_fill(hidden, -torch.inf).softmax(-1).to(q)
        other = places[:, None] + torch.arange(span, device=x.device) - self.BEFORE
        by_distance = shares.gather(-1, other.clamp(0, t - 1).expand(b, self.heads, t, span)) * ((other >= 0) & (other < t))
        y = shares @ v + by_distance @ self.carry.to(q)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def convolved(net, rows):
    """What Whisper's two convolutions, net.conv1 and net.conv2, make of rows of log_mel [B, R, 80]: [B, R // 2, 384]."""
    return F.gelu(net.conv2(F.gelu(net.conv1(rows.transpose(1, 2))))).transpose(1, 2)


class Front(nn.Module):
    """Rows of log_mel [B, R, 80] -> features [B, R // 2, 384], one every 20 ms: the first layers of Whisper-tiny's encoder (Radford
    et al., arXiv 2212.04356; convert/whisper.py), which know speech of all kinds, taught to hear a stream. Feature k needs the
    rows to 2 k + 2 + 2 sum(AFTER)."""
    WIDTH, HEADS, AFTER = 384, 6, (4, 0)

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(MELS, self.WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(self.WIDTH, self.WIDTH, 3, stride=2, padding=1)
        self.place = nn.Parameter(torch.zeros(self.WIDTH))
        self.layers = nn.ModuleList(Causal(self.WIDTH, self.HEADS, after) for after in self.AFTER)
        self.register_buffer("mean", torch.zeros(self.WIDTH))
        self.register_buffer("deviation", torch.ones(self.WIDTH))

    def forward(self, rows):
        x = convolved(self, rows) + self.place
        for layer in self.layers:
            x = layer(x)
        return (x - self.mean) / self.deviation


class AudioEncoder(nn.Module):
    """The features around one picture, two a stack, [B, T, 768] -> audio tokens [B, T, 192]. Every picture's stand alone."""

    def __init__(self, config):
        super().__init__()
        self.past, self.future = config.audio_past, config.audio_future
        self.front = Front()
        self.input = nn.Linear(2 * Front.WIDTH, config.audio_width)
        self.position = nn.Parameter(torch.randn(config.tokens, config.audio_width) * 0.02)
        self.layers = nn.ModuleList(AudioLayer(config.audio_width, config.audio_width // config.head)
                                    for _ in range(config.audio_layers))
        self.norm = nn.LayerNorm(config.audio_width)

    BEFORE = 2 * (2 * Causal.BEFORE + 24)  # rows of silence that must come before a sound's first picture

    def hear(self, sound):
        """Features [B, K, 384] of sound [B, N] in -1 ... 1."""
        return self.front(log_mel(sound))

    def around(self, features, rows):
        """Stacks [B, T, tokens, 768] of features [B, K, 384] around pictures at rows [B, T] (10 ms)."""
        place = rows[..., None] // 2 + torch.arange(-2 * self.past - 1, 2 * self.future + 1)
        taken = features[torch.arange(len(features))[:, None, None], place.to(features.device)]
        return taken.unflatten(2, (-1, 2)).flatten(3)

    @staticmethod
    def unheard(stacks, count):
        """Stacks [..., tokens, 768] whose last `count` features, int [...], are not known yet: they are 0, which is their mean."""
        features = stacks.unflatten(-1, (2, -1)).flatten(-3, -2)
        known = torch.arange(features.shape[-2], device=stacks.device) < features.shape[-2] - count[..., None].to(stacks.device)
        return (features * known[..., None]).unflatten(-2, (-1, 2)).flatten(-2)

    def forward(self, stacks):
        x = self.input(stacks) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def audio_encoder(config):
    if not config.av_hubert:
        return AudioEncoder(config)
    from networks.avhubert import AVHuBERT  # made of layers of this file
    return AVHuBERT(config)


class Lips(nn.Module):
    """Audio tokens [B, T, 192] around one picture -> the mouth's coefficients [B, 12] (data/geometry.py) that go with it."""

    def __init__(self, config):
        super().__init__()
        self.fc1 = nn.Linear(config.tokens * config.audio_width, config.audio_width)
        self.fc2 = nn.Linear(config.audio_width, config.coefficients)

    def forward(self, tokens):
        return self.fc2(F.silu(self.fc1(tokens.flatten(1))))


# ---------------------------------------------------------------- autoencoder (no normalisation: strictly local)

class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class Encoder(nn.Module):
    """RGB [B, 3, H, W] -> latent [B, 4, H/4, W/4] of mean 0 and deviation 1 over the training set."""

    def __init__(self, config):
        super().__init__()
        a, b, c = config.ae_channels
        self.input = nn.Conv2d(3, a, 3, padding=1)
        self.block1 = Block(a)
        self.down1 = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.block2 = Block(b)
        self.down2 = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.block3 = Block(c)
        self.block4 = Block(c)
        self.output = nn.Conv2d(c, config.latent_channels, 3, padding=1)
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("deviation", torch.ones(config.latent_channels))

    def forward(self, image):
        x = self.block1(self.input(image))
        x = self.block2(self.down1(x))
        x = self.block4(self.block3(self.down2(x)))
        z = self.output(F.silu(x))
        return (z - self.mean[:, None, None]) / self.deviation[:, None, None]


class Decoder(nn.Module):
    """Latent [B, 4, h, w] -> RGB [B, 3, 4h, 4w], not clamped."""

    def __init__(self, config):
        super().__init__()
        a, b, c = config.ae_channels
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("deviation", torch.ones(config.latent_channels))
        self.input = nn.Conv2d(config.latent_channels, c, 3, padding=1)
        self.block1 = Block(c)
        self.block2 = Block(c)
        self.block3 = Block(c)
        self.up1 = nn.Conv2d(c, b, 3, padding=1)
        self.block4 = Block(b)
        self.block5 = Block(b)
        self.up2 = nn.Conv2d(b, a, 3, padding=1)
        self.block6 = Block(a)
        self.block7 = Block(a)
        self.output = nn.Conv2d(a, 3, 3, padding=1)

    def forward(self, latent):
        x = self.input(latent * self.deviation[:, None, None] + self.mean[:, None, None])
        x = self.block3(self.block2(self.block1(x)))
        x = F.interpolate(self.up1(x), scale_factor=2)
        x = self.block5(self.block4(x))
        x = F.interpolate(self.up2(x), scale_factor=2)
        x = self.block7(self.block6(x))
        return self.output(F.silu(x))


# ---------------------------------------------------------------- U-Net

class ResBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice; the second norm is scaled and shifted by the conditioning [B, E]."""

    def __init__(self, cin, cout, config):
        super().__init__()
        self.norm1 = nn.GroupNorm(config.groups, cin)
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.condition = nn.Linear(config.embedding, 2 * cout)
        self.norm2 = nn.GroupNorm(config.groups, cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.skip = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()

    def forward(self, x, condition):
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, 1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class CrossAttention(nn.Module):
    """Every position of x [B, C, H, W] listens to the audio tokens [B, T, 192]."""

    def __init__(self, channels, config):
        super().__init__()
        self.heads = channels // config.head
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(config.audio_width, channels)
        self.value = nn.Linear(config.audio_width, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x, tokens):
        b, c, h, w = x.shape
        split = lambda y: y.view(b, -1, self.heads, c // self.heads).transpose(1, 2)
        q = split(self.query(self.norm(x.flatten(2).transpose(1, 2))))
        y = attention(q, split(self.key(tokens)), split(self.value(tokens)))
        return x + self.out(y.transpose(1, 2).reshape(b, h * w, c)).transpose(1, 2).reshape(b, c, h, w)


class SelfAttention(nn.Module):
    """Every position of x [B, C, H, W] sees all others."""

    def __init__(self, channels, config):
        super().__init__()
        self.heads = channels // config.head
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x):
        b, c, h, w = x.shape
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(tokens).view(b, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = attention(q, k, v).transpose(1, 2).reshape(b, h * w, c)
        return x + self.out(y).transpose(1, 2).reshape(b, c, h, w)


class Bottleneck(nn.Module):
    """The previous frame's latent [B, 4, 20, 20] -> 6 values in -1 ... 1: pose, too little to copy a mouth."""

    def __init__(self, config):
        super().__init__()
        side = config.window // 16
        self.conv1 = nn.Conv2d(config.latent_channels, 32, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.out = nn.Linear(64 * side * side, config.prior)

    def forward(self, latent):
        x = F.silu(self.conv2(F.silu(self.conv1(latent))))
        return torch.tanh(self.out(x.permute(0, 2, 3, 1).flatten(1)))  # [H, W, C] order, as Swift holds it


def timestep_embedding(t, width):
    """Sinusoids of 1000 t, cosines first: [B] in 0 ... 1 -> [B, width]. Ho et al. 2020, Vaswani et al. 2017."""
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(width // 2, device=t.device) / (width // 2))
    angles = 1000.0 * t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


class UNet(nn.Module):
    """Predicts F, see Denoiser. x: [B, 4 + 4 + 2 + 4, 20, 20] = noisy, masked, lips, identity."""

    def __init__(self, config):
        super().__init__()
        e, (a, b, c) = config.embedding, config.unet_channels
        z = config.latent_channels
        self.time1 = nn.Linear(e // 2, e)
        self.time2 = nn.Linear(e, e)
        self.audio = nn.Linear(config.tokens * config.audio_width, e)
        self.prior = nn.Linear(config.prior, e)
        self.no_prior = nn.Parameter(torch.zeros(e))
        self.input = nn.Conv2d(3 * z + 2, a, 3, padding=1)
        self.down1_res1, self.down1_res2 = ResBlock(a, a, config), ResBlock(a, a, config)
        self.down1 = nn.Conv2d(a, a, 3, stride=2, padding=1)
        self.down2_res1, self.down2_attn1 = ResBlock(a, b, config), CrossAttention(b, config)
        self.down2_res2, self.down2_attn2 = ResBlock(b, b, config), CrossAttention(b, config)
        self.down2 = nn.Conv2d(b, b, 3, stride=2, padding=1)
        self.mid_res1, self.mid_attn1 = ResBlock(b, c, config), CrossAttention(c, config)
        self.mid_res2, self.mid_self = ResBlock(c, c, config), SelfAttention(c, config)
        self.mid_res3, self.mid_attn2 = ResBlock(c, c, config), CrossAttention(c, config)
        self.mid_res4 = ResBlock(c, c, config)
        self.up2 = nn.Conv2d(c, b, 3, padding=1)
        self.up2_res1, self.up2_attn1 = ResBlock(2 * b, b, config), CrossAttention(b, config)
        self.up2_res2, self.up2_attn2 = ResBlock(b, b, config), CrossAttention(b, config)
        self.up1 = nn.Conv2d(b, a, 3, padding=1)
        self.up1_res1, self.up1_res2 = ResBlock(2 * a, a, config), ResBlock(a, a, config)
        self.norm = nn.GroupNorm(config.groups, a)
        self.output = nn.Conv2d(a, z, 3, padding=1)
        for last in [self.output] + [m.out for m in self.modules() if isinstance(m, (CrossAttention, SelfAttention))] \
                + [m.conv2 for m in self.modules() if isinstance(m, ResBlock)]:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def condition(self, t, tokens, prior, has_prior):
        """[B, E] from time [B], audio tokens [B, T, 192], bottleneck values [B, 6], and whether they count [B]."""
        time = self.time2(F.silu(self.time1(timestep_embedding(t, self.time1.in_features))))
        pose = torch.where(has_prior[:, None], self.prior(prior), self.no_prior.expand(len(t), -1))
        return F.silu(time + self.audio(tokens.flatten(1)) + pose)

    def forward(self, x, t, tokens, prior, has_prior):
        e = self.condition(t, tokens, prior, has_prior)
        x1 = self.input(x)
        x1 = self.down1_res2(self.down1_res1(x1, e), e)
        x2 = self.down1(x1)
        x2 = self.down2_attn1(self.down2_res1(x2, e), tokens)
        x2 = self.down2_attn2(self.down2_res2(x2, e), tokens)
        x3 = self.down2(x2)
        x3 = self.mid_attn1(self.mid_res1(x3, e), tokens)
        x3 = self.mid_self(self.mid_res2(x3, e))
        x3 = self.mid_attn2(self.mid_res3(x3, e), tokens)
        x3 = self.mid_res4(x3, e)
        y2 = torch.cat([F.interpolate(self.up2(x3), scale_factor=2), x2], 1)
        y2 = self.up2_attn1(self.up2_res1(y2, e), tokens)
        y2 = self.up2_attn2(self.up2_res2(y2, e), tokens)
        y1 = torch.cat([F.interpolate(self.up1(y2), scale_factor=2), x1], 1)
        y1 = self.up1_res2(self.up1_res1(y1, e), e)
        return self.output(F.silu(self.norm(y1)))


# ---------------------------------------------------------------- root

class Denoiser(nn.Module):
    """Preconditioning, written once: x_t = (1 - t) z + t noise, velocity v = noise - z (flow matching, Lipman et al. 2023), and
    v = (x_t - identity - F) / t: F is what has to be added to the identity frame's latent, so that an untrained network (F = 0)
    copies it."""

    def __init__(self, config):
        super().__init__()
        self.unet = UNet(config)

    def forward(self, x, t, masked, lips, identity, tokens, prior, has_prior):
        """The velocity at x [B, 4, 20, 20] and time t [B], above 0."""
        f = self.unet(torch.cat([x, masked, lips, identity], 1), t, tokens, prior, has_prior)
        return (x - identity - f) / t[:, None, None, None]


class SyncDiff(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.audio_encoder = audio_encoder(config)
        self.lips = Lips(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.bottleneck = Bottleneck(config)
        self.denoiser = Denoiser(config)

    @torch.no_grad()
    def sample(self, noise, masked, lips, identity, tokens, previous=None, steps=None):
        """Adams and Bashforth's two-step method from t = 1 to 0 in equal steps, the first one Euler's: the velocity goes on
        changing over a step as it did over the one before. previous: the latent made for the frame before, or None."""
        steps = steps or self.config.steps
        has_prior = torch.full((len(noise),), previous is not None, device=noise.device)
        prior = self.bottleneck(previous) if previous is not None else noise.new_zeros(len(noise), self.config.prior)
        x, before = noise, None
        for i in range(steps):
            t = noise.new_full((len(noise),), 1 - i / steps)
            velocity = self.denoiser(x, t, masked, lips, identity, tokens, prior, has_prior)
            x = x - (velocity if before is None else 1.5 * velocity - 0.5 * before) / steps
            before = velocity
        return x


def masked(latent, lips):
    """The masked frame: a warped frame's latent [B, 4, 20, 20] without the places that the lips [B, 2, 20, 20] reach, and
    those around them, into which the encoder has carried the old mouth."""
    return latent * (F.max_pool2d(lips[:, 1:], 5, 1, 2) <= 0)


def fade(side):
    """[side, side]: how much of the painted difference counts: 1 in the middle, 0 in the window's outermost BORDER px."""
    x = torch.arange(side).float()
    t = ((torch.minimum(x, side - 1 - x) - BORDER) / EDGE).clamp(0, 1)
    t = t * t * (3 - 2 * t)
    return t[:, None] * t


def small(lips):
    """Lips [B, 2, 80, 80] at a latent's size."""
    return F.avg_pool2d(lips, 4)


def painted(model, latent, identity, warped, mask):
    """The warped pictures [B, 3, 80, 80] with the difference that the latents make added. What the mask leaves out is not
    decoded."""
    made, was = model.decoder(torch.cat([latent, identity])[..., 1:-1, 1:-1]).float().chunk(2)
    return warped + mask * F.pad(made - was, (BORDER,) * 4)

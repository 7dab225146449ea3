"""Trains the digits example and writes digits_cnn.onnx, calibration.npz and test.npz beside this file.

Needs the packages of the extra `train`.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

HERE = Path(__file__).resolve().parent
SEED = 1
EPOCHS = 60
BATCH = 32
CALIBRATION_SAMPLES = 200
LOWEST_ACCURACY = 0.975


def load_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """8 x 8 images in [0, 1]; a quarter of each class is held out."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    return train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=SEED)


def build() -> nn.Sequential:
    layers = {
        "conv1": nn.Conv2d(1, 8, 3, padding=1, bias=False),
        "norm1": nn.BatchNorm2d(8),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(8, 16, 3, padding=1),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "dense1": nn.Linear(64, 32),
        "relu3": nn.ReLU(),
        "dense2": nn.Linear(32, 10),
    }
    return nn.Sequential(OrderedDict(layers))


def shifted(images: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Each image moved by at most one pixel, filled with zeros."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    offsets = torch.randint(0, 3, (len(images), 2), generator=draw).tolist()
    return torch.stack([image[:, y : y + 8, x : x + 8] for image, (y, x) in zip(padded, offsets, strict=True)])


def train(images: np.ndarray, labels: np.ndarray) -> nn.Sequential:
    torch.manual_seed(SEED)
    draw = torch.Generator().manual_seed(SEED)
    model = build()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    model.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=draw).split(BATCH):
            loss = nn.functional.cross_entropy(model(shifted(x[batch], draw)), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def export(model: nn.Module) -> bytes:
    """BatchNormalization stays a node of its own: folding it is the compiler's work."""
    buffer = io.BytesIO()
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, 8, 8),),
        buffer,
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "N"}, "scores": {0: "N"}},
        opset_version=17,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        dynamo=False,
    )
    return buffer.getvalue()


def main() -> None:
    torch.set_num_threads(1)  # the same sums, so the same weights, on every run
    torch.use_deterministic_algorithms(True)
    train_images, test_images, train_labels, test_labels = load_data()
    data = export(train(train_images, train_labels))
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    scores = session.run(["scores"], {"image": test_images})[0]
    accuracy = float(np.mean(scores.argmax(axis=1) == test_labels))
    print(f"accuracy on {len(test_labels)} held-out images: {accuracy:.2%}")
    if accuracy < LOWEST_ACCURACY:
        raise SystemExit(f"below {LOWEST_ACCURACY:.1%}: nothing is written")
    (HERE / "digits_cnn.onnx").write_bytes(data)
    np.savez_compressed(HERE / "calibration.npz", image=train_images[:CALIBRATION_SAMPLES])
    np.savez_compressed(HERE / "test.npz", image=test_images, labels=test_labels)


if __name__ == "__main__":
    main()

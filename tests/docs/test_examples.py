"""The examples run and show what they promise."""

from __future__ import annotations

import re
import runpy
import sys

import documents
import numpy as np
import pytest

import lamina

EXAMPLES = documents.ROOT / "examples"


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["example"])


def run(name, capsys, *arguments):
    sys.argv[1:] = map(str, arguments)
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def numbers(pattern, text):
    return [float(number) for number in re.findall(pattern, text)]


def test_digits(capsys):
    text = run("digits.py", capsys)
    assert numbers(r"Test accuracy ([\d.]+)", text)[0] > 0.95
    assert len(re.findall(r"^ +\d  ", text, re.MULTILINE)) == 10


def test_fit_a_curve_finds_the_true_numbers(capsys):
    text = run("fit_a_curve.py", capsys)
    found = re.findall(r"(-?[\d.]+) +\(true: ([\d.]+)\)", text)
    assert len(found) == 3
    assert all(abs(float(one) / float(true) - 1) < 0.02 for one, true in found)


def test_gradient_penalty_makes_networks_robust(capsys):
    text = run("gradient_penalty.py", capsys)
    without, with_penalty = numbers(r"with noise ([\d.]+)", text)
    assert with_penalty > without
    assert min(numbers(r"accuracy ([\d.]+),", text)) > 0.95


def test_fashion_mnist(capsys, tmp_path, monkeypatch, rng):
    """With pictures of its own: a class is the row that is bright."""

    def pictures(count):
        labels = rng.integers(0, 10, count).astype("uint8")
        images = rng.integers(0, 60, (count, 28, 28)).astype("uint8")
        images[np.arange(count), 2 * labels + 4] += 180
        return images, labels

    data = pictures(640), pictures(200)
    monkeypatch.setattr(lamina.datasets.fashion_mnist, "load_data", lambda: data)
    text = run("fashion_mnist.py", capsys, "--epochs", 3, "--page", tmp_path / "page.html")
    assert numbers(r"Test accuracy ([\d.]+)", text)[0] > 0.9
    assert "The surest mistakes" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_autoencoder_removes_noise(capsys, tmp_path):
    text = run("autoencoder.py", capsys, "--epochs", 8, "--page", tmp_path / "page.html")
    found = re.search(r"([\d.]+) with noise, ([\d.]+) restored", text)
    before, after = float(found[1]), float(found[2])
    assert after < 0.6 * before
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<svg") == 54


def test_gan_draws_what_it_is_asked_for(capsys, tmp_path):
    text = run("gan.py", capsys, "--epochs", 20, "--page", tmp_path / "page.html")
    real, drawn = numbers(r"as what \D+: ([\d.]+)", text)
    assert real > 0.97
    assert drawn > 0.7
    assert numbers(r"each other ([\d.]+)", text)[0] > 0.4
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<svg") == 80


def test_time_series(capsys, tmp_path):
    text = run("time_series.py", capsys, "--epochs", 3, "--rows", 1500, "--page", tmp_path / "page.html")
    assert numbers(r"Test accuracy ([\d.]+)", text)[0] > 0.6
    assert (tmp_path / "page.html").exists()


def test_small_resnet(capsys, tmp_path):
    """A few steps: that it runs, and that its pictures are as promised."""
    page = tmp_path / "page.html"
    text = run("small_resnet.py", capsys, "--rows", 320, "--depth", 1, "--epochs", 2, "--page", page)
    losses = numbers(r"loss: ([\d.]+)", text)
    assert losses[1] < losses[0]
    naive, _ = both_numbers(r"accuracy ([\d.]+)", text)
    assert 0.05 < naive < 0.4
    assert page.exists()


def both_numbers(pattern, text):
    """What the naive answer reaches, and what the network reaches."""
    naive, network = numbers(pattern, text)
    return naive, network


def test_sentiment_reads_words_in_order(capsys):
    counted, read = both_numbers(r"accuracy ([\d.]+)", run("sentiment.py", capsys))
    assert read > 0.95
    assert counted < 0.65


def test_text_generation_knows_more_than_pairs(capsys):
    text = run("text_generation.py", capsys)
    pairs, network = both_numbers(r"([\d.]+) bits per letter", text)
    assert network < pairs - 0.5
    assert text.count("Temperature") == 3


def test_addition_of_new_numbers(capsys):
    text = run("addition.py", capsys)
    assert numbers(r"network: ([\d.]+)", text)[0] > 0.8


def test_transformer_knows_the_chapters(capsys):
    guess, network = both_numbers(r"accuracy ([\d.]+)", run("transformer.py", capsys))
    assert network > guess + 0.2


def test_gpt_guesses_more_words_than_pairs_do(capsys):
    """After some of the text; after all of it the lead is twice as large."""
    text = run("gpt.py", capsys, "--words", 60_000, "--epochs", 4)
    pairs, network = both_numbers(r"([\d.]+) of the next words", text)
    assert network > pairs + 0.02
    assert len(text.splitlines()[-1].split()) == 64


def test_forecast_beats_yesterday(capsys, tmp_path):
    path = tmp_path / "forecast.png"
    text = run("forecast.py", capsys, str(path))
    naive, network = both_numbers(r"error ([\d.]+)", text)
    assert network < 0.7 * naive
    assert path.stat().st_size > 10_000


def test_anomalies_are_found(capsys):
    naive, network = both_numbers(r"curve ([\d.]+)", run("anomaly.py", capsys))
    assert network > 0.95
    assert naive < 0.65


def test_every_example_is_tested_here():
    tested = documents.ROOT / "tests" / "docs" / "test_examples.py"
    text = tested.read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in text] == []

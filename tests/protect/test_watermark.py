"""The watermark on matrices of random numbers; test_watermark of the stages has a real model."""

from __future__ import annotations

import numpy as np
import pytest

from asrpack.errors import InputError, KeyFileError
from asrpack.protect.detection import ACCUSE_Z, Evidence, detect, residuals
from asrpack.protect.watermark import add_mark, channel_steps, dither, exact_codes, round_codes

KEY = bytes(range(32))
STRENGTH = 0.05
SHAPE = (256, 512)


@pytest.fixture(scope="module")
def original():
    rng = np.random.default_rng(0)
    return {
        f"encoder/layer.{index}.weight": rng.standard_normal(SHAPE, np.float32) * 0.05
        for index in range(4)
    }


def marked(original, customer, *, key=KEY, strength=STRENGTH, int8=True):
    """Dequantized weights of a customer's build."""
    result = {}
    for name, weight in original.items():
        mark = dither(key, customer, name, weight.shape, strength)
        steps = channel_steps(weight)
        result[name] = (
            round_codes(add_mark(exact_codes(weight, steps), mark, np.ones_like(steps))) * steps
            if int8
            else add_mark(weight, mark, steps)
        )
    return result


def z_of(original, suspect, customer, key=KEY):
    return detect(original, suspect, key, [customer])[0].z


@pytest.mark.parametrize("int8", [True, False])
def test_the_right_customer_stands_out_from_wrong_ones(original, int8):
    suspect = marked(original, "acme", int8=int8)
    others = [f"customer-{index}" for index in range(100)]
    scores = detect(original, suspect, KEY, [*others, "acme"])
    assert scores[0].customer == "acme"
    assert scores[0].z > 50
    assert scores[0].p < 1e-12
    wrong = np.array([score.z for score in scores[1:]])
    assert wrong.max() < 5
    assert 0.7 < wrong.std() < 1.3
    assert abs(wrong.mean()) < 0.4


def test_p_is_the_tail_of_the_normal_distribution(original):
    for score in detect(original, marked(original, "acme"), KEY, ["a", "b", "c"]):
        assert 0 < score.p < 1
        assert (score.z > 0) == (score.p < 0.5)


def test_nobody_is_found_without_the_key_or_without_a_mark(original):
    assert abs(z_of(original, marked(original, "acme"), "acme", bytes(32))) < 5
    unmarked = {
        name: np.rint(weight / channel_steps(weight)) * channel_steps(weight)
        for name, weight in original.items()
    }
    assert abs(z_of(original, unmarked, "acme")) < 5
    assert z_of(original, original, "acme") == 0


def test_the_mark_depends_on_key_customer_and_matrix_and_on_nothing_else():
    mark = dither(KEY, "acme", "encoder/a", SHAPE, STRENGTH)
    np.testing.assert_array_equal(mark, dither(KEY, "acme", "encoder/a", SHAPE, STRENGTH))
    for other in (
        dither(bytes(32), "acme", "encoder/a", SHAPE, STRENGTH),
        dither(KEY, "acme2", "encoder/a", SHAPE, STRENGTH),
        dither(KEY, "acme", "decoder/a", SHAPE, STRENGTH),
    ):
        assert np.mean(np.sign(mark) == np.sign(other)) < 0.9


def test_the_mark_is_small_and_sums_to_nothing_over_a_channel():
    mark = dither(KEY, "acme", "encoder/a", SHAPE, STRENGTH)
    assert mark.shape == SHAPE
    assert np.abs(mark).max() <= 2 * STRENGTH
    assert np.abs(mark.mean(axis=0)).max() < 1e-6


def test_codes_without_a_mark_are_the_quantizers(original):
    weight = next(iter(original.values()))
    steps = channel_steps(weight)
    codes = round_codes(exact_codes(weight, steps))
    assert codes.dtype == np.int8
    assert np.abs(weight - codes * steps).max() <= 0.5001 * steps.max()


def test_codes_stay_in_the_symmetric_range():
    weight = np.array([[1.0], [-1.0], [0.5]], np.float32)
    mark = np.array([[9.0], [-9.0], [0.0]], np.float32)
    codes = round_codes(exact_codes(weight, channel_steps(weight)) + mark)
    assert codes.ravel().tolist() == [127, -127, 64]


def test_the_mark_survives_int8_after_fp32_pruning_and_noise(original):
    rng = np.random.default_rng(1)
    suspect = {}
    for name, weight in marked(original, "acme", int8=False).items():
        weight = weight.astype(np.float16).astype(np.float32)
        weight = np.where(np.abs(weight) < np.quantile(np.abs(weight), 0.5), 0, weight)
        weight += 0.01 * weight.std() * rng.standard_normal(weight.shape, np.float32)
        step = np.abs(weight).max(axis=0) / 127
        suspect[name] = np.rint(weight / step) * step
    assert z_of(original, suspect, "acme") > ACCUSE_Z


def test_three_customers_who_average_their_copies_are_all_found(original):
    coalition = ["acme", "bolt", "crane"]
    copies = [marked(original, customer) for customer in coalition]
    suspect = {name: sum(copy[name] for copy in copies) / 3 for name in original}
    scores = detect(original, suspect, KEY, [*coalition, *(f"c{i}" for i in range(20))])
    assert {score.customer for score in scores[:3]} == set(coalition)
    assert scores[2].z > ACCUSE_Z > 5 > scores[3].z


def test_several_suspects_are_scored_as_each_alone(original):
    first, second = marked(original, "acme"), marked(original, "bolt")
    del second[next(iter(second))]
    found = [residuals(original, suspect) for suspect in (first, second)]
    customers = ["acme", "bolt", *(f"customer-{index}" for index in range(40))]
    together = Evidence(found, KEY).z(customers)
    alone = [Evidence([item], KEY).z([name])[0, 0] for name in customers for item in found]
    np.testing.assert_allclose(together.reshape(-1), alone, rtol=1e-4, atol=1e-4)


def test_matrices_that_do_not_compare_are_passed_over(original):
    names = list(original)
    suspect = marked(original, "acme")
    full = z_of(original, suspect, "acme")
    suspect[names[0]] = suspect[names[0]][:5]
    del suspect[names[1]]
    assert ACCUSE_Z < z_of(original, suspect, "acme") < full


def test_a_suspect_that_is_another_model_is_refused(original):
    with pytest.raises(InputError) as caught:
        detect(original, {"other": np.zeros((3, 3), np.float32)}, KEY, ["acme"])
    assert caught.value.code == "watermark-nothing-to-compare"


def test_a_suspect_full_of_nonsense_scores_no_one(original):
    suspect = {name: np.full_like(weight, np.nan) for name, weight in original.items()}
    assert z_of(original, suspect, "acme") == 0


def test_a_channel_of_zeros_carries_no_mark(original):
    weight = next(iter(original.values())).copy()
    weight[:, 3] = 0
    with np.errstate(all="raise"):
        mark = dither(KEY, "acme", "a", weight.shape, STRENGTH)
        suspect = add_mark(weight, mark, channel_steps(weight))
        assert not suspect[:, 3].any()
        assert z_of({"a": weight}, {"a": suspect}, "acme") > ACCUSE_Z


def test_a_short_key_is_refused(original):
    with pytest.raises(KeyFileError):
        dither(b"short", "acme", "a", SHAPE, STRENGTH)

"""Every format parses back to what was said, whatever was."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from itertools import pairwise
from unicodedata import combining

import pytest
import webvtt
from hypothesis import assume, example, given

from asrpack.runtime.formats import (
    from_json,
    to_ctm,
    to_json,
    to_srt,
    to_text,
    to_verbose_json,
    to_vtt,
)
from asrpack.runtime.formats.cues import GAP, LINE, LONGEST, SHORTEST, Cue, make_cues
from asrpack.runtime.timed_text import TimedSegment, TimedText, Word
from tests.runtime.formats.strategies import recordings

SPEECH = TimedSegment(
    "seven of hearts, and then the king of spades took the ace of diamonds. nobody knew why it "
    "was so long a game",
    0.0,
    9.3,
)
CHINESE = TimedSegment("今天天气很好我们去公园散步吧然后回家吃饭看电视", 10.0, 18.0)


def recording(*segments: TimedSegment, duration: float = 20.0) -> TimedText:
    return TimedText(" ".join(item.text for item in segments), duration, segments)


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


@given(recordings())
@example(recording())
@example(recording(TimedSegment("a", 0.0, 0.0), TimedSegment("b", 0.0, 0.0), duration=0.0))
def test_subtitles_are_in_order_and_hold_every_word_once(spoken: TimedText) -> None:
    cues = make_cues(spoken)
    for cue in cues:
        assert 0 <= cue.start < cue.end
        assert 1 <= len(cue.lines) <= 2 and all(cue.lines)
    for one, next_ in pairwise(cues):
        assert one.end <= next_.start
    shown = "".join(line for cue in cues for line in cue.lines)
    assert squeezed(shown) == squeezed("".join(item.text for item in spoken.segments))


@given(recordings())
def test_subtitles_can_be_read(spoken: TimedText) -> None:
    words = sum(len(segment.timed_words()) for segment in spoken.segments)
    cues = make_cues(spoken)
    assert len(cues) <= words
    for one, next_ in pairwise(cues):
        room = next_.start - one.start
        if one.end == next_.start:
            assert room <= GAP
        else:
            assert next_.start - one.end >= GAP
            assert one.end - one.start >= min(SHORTEST, room - GAP)


@given(recordings())
def test_srt_and_vtt_parse_back(spoken: TimedText) -> None:
    cues = make_cues(spoken)
    for text, kind in ((to_vtt(spoken), "vtt"), (to_srt(spoken), "srt")):
        if kind == "srt" and not cues:
            assert text == ""
            continue
        assert text.endswith("\n")
        read = webvtt.from_buffer(io.StringIO(text), format=kind, strict=True)
        assert [times(item) for item in read] == [(cue.start, cue.end) for cue in cues]
        shown = [item.raw_text for item in read]
        if kind == "vtt":
            shown = [unescape(item) for item in shown]
        wanted = ["\n".join(cue.lines) for cue in cues]
        assert shown == [item.replace("-->", "→") if kind == "srt" else item for item in wanted]


def times(caption: webvtt.Caption) -> tuple[int, int]:
    def milliseconds(clock: str) -> int:
        hours, minutes, seconds = clock.split(":")
        return round((int(hours) * 60 + int(minutes)) * 60_000 + float(seconds) * 1000)

    return milliseconds(caption.start), milliseconds(caption.end)


@given(recordings())
def test_ctm_parses_back(spoken: TimedText) -> None:
    words = [word for segment in spoken.segments for word in segment.timed_words()]
    lines = [line.split(" ") for line in to_ctm(spoken, ";; a recording").splitlines()]
    assert [line[4] for line in lines] == [word.text for word in words]
    last = 0.0
    for name, channel, start, duration, _, confidence in lines:
        assert (name, channel) == ("_;;_a_recording", "1")
        assert float(start) >= last - 1e-9 and float(duration) >= 0
        last = float(start) + float(duration)
        assert 0 <= float(confidence) <= 1


@given(recordings())
def test_json_parses_back(spoken: TimedText) -> None:
    read = json.loads(json.dumps(to_json(spoken), allow_nan=False))
    assert (read["text"], read["duration"]) == (spoken.text, round(spoken.duration, 3))
    for item, segment in zip(read["segments"], spoken.segments, strict=True):
        assert item["text"] == segment.text
        assert [word["word"] for word in item.get("words", [])] == [
            word.text for word in segment.words
        ]
    assert to_text(spoken).splitlines() == [
        " ".join(segment.text.split()) for segment in spoken.segments
    ]


def test_what_looks_like_markup_is_none() -> None:
    spoken = recording(TimedSegment("<b>x</b> --> y & <unk>", 0.0, 3.0))
    assert to_vtt(spoken).endswith("\n&lt;b&gt;x&lt;/b&gt; --&gt; y &amp; &lt;unk&gt;\n")
    assert to_srt(spoken).endswith("\n<b>x</b> → y & <unk>\n")


def test_sentences_end_subtitles() -> None:
    assert make_cues(recording(SPEECH, CHINESE))[:2] == [
        Cue(0, 6080, ("seven of hearts, and then the king", "of spades took the ace of diamonds.")),
        Cue(6164, 9300, ("nobody knew why it was so long a game",)),
    ]


def test_lines_are_no_longer_than_can_be_read() -> None:
    for cue in make_cues(recording(SPEECH, CHINESE)):
        assert cue.end - cue.start <= LONGEST
        wide = [sum(21 if ord(one) > 0x2E80 else 8 for one in line) for line in cue.lines]
        assert max(wide) <= LINE
    long = TimedSegment("a" * 100, 0.0, 3.0)
    assert make_cues(recording(long))[0].lines == ("a" * 100,)


def test_a_pause_ends_a_subtitle_and_a_short_one_stays() -> None:
    words = (Word("yes", 0.0, 0.3, 1.0), Word("no", 5.0, 5.2, 1.0))
    cues = make_cues(recording(TimedSegment("yes no", 0.0, 5.2, words)))
    assert cues == [Cue(0, SHORTEST, ("yes",)), Cue(5000, 5000 + SHORTEST, ("no",))]


def test_a_subtitle_ends_with_the_recording() -> None:
    cues = make_cues(recording(TimedSegment("yes", 0.0, 0.3), duration=0.5))
    assert cues == [Cue(0, 500, ("yes",))]


def test_verbose_json_has_the_fields_of_openai() -> None:
    words = (Word("yes", 1.0, 1.25, 0.5),)
    segment = TimedSegment("yes", 1.0, 1.5, words, tokens=(4, 5, 6), score=-2.0)
    shape = to_verbose_json(recording(segment), "en", words=True)
    assert shape == {
        "task": "transcribe",
        "language": "en",
        "duration": 20.0,
        "text": "yes",
        "usage": {"type": "duration", "seconds": 20.0},
        "segments": [
            {
                "id": 0,
                "seek": 100,
                "start": 1.0,
                "end": 1.5,
                "text": "yes",
                "tokens": [4, 5, 6],
                "temperature": 0.0,
                "avg_logprob": -0.5,
                "compression_ratio": pytest.approx(3 / 11, abs=1e-4),
                "no_speech_prob": 0.0,
            }
        ],
        "words": [{"word": "yes", "start": 1.0, "end": 1.25}],
    }
    assert {"segments", "words"} & set(to_verbose_json(recording(), "en", segments=False)) == set()


@given(recordings())
def test_json_is_read_back(spoken: TimedText) -> None:
    words = [word.text for segment in spoken.segments for word in segment.words]
    assume(not any(all(map(combining, word)) for word in words))  # refused, see below
    shape = to_json(spoken)
    assert to_json(from_json(json.loads(json.dumps(shape)))) == shape


_WORD = {"word": "yes", "start": 0, "end": 1, "confidence": 1}
_SEGMENT = {"text": "yes", "start": 0.5, "end": 1}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"duration": None}, "duration"),
        ({"duration": True}, "duration"),
        ({"duration": float("nan")}, "duration"),
        ({"duration": 1e9}, "duration"),
        ({"text": 5}, "text"),
        ({"text": "\ud800"}, "surrogates"),
        ({"segments": "yes"}, "segments"),
        ({"segments": ["yes"]}, "text"),
        ({"segments": [{**_SEGMENT, "start": -1}]}, "start"),
        ({"segments": [{**_SEGMENT, "words": 5}]}, "words"),
        ({"segments": [{**_SEGMENT, "words": [5]}]}, "word"),
        ({"segments": [{**_SEGMENT, "words": [{**_WORD, "word": "no"}]}]}, "'no' is not in"),
        ({"segments": [{**_SEGMENT, "words": [_WORD, _WORD]}]}, "too early"),
        ({"segments": [{**_SEGMENT, "words": [{**_WORD, "confidence": 2}]}]}, "confidence"),
        ({"segments": [{**_SEGMENT, "words": [{**_WORD, "word": "\u0301"}]}]}, "nothing to show"),
        ({"segments": [{**_SEGMENT, "words": [{**_WORD, "word": " "}]}]}, "nothing to show"),
    ],
)
def test_json_of_another_shape_is_refused(change: dict[str, object], told: str) -> None:
    right = {"text": "yes", "duration": 1.0, "segments": [{**_SEGMENT, "words": [_WORD]}]}
    assert from_json(right).words[0].text == "yes"
    with pytest.raises(ValueError, match=told):
        from_json({**right, **change})
    with pytest.raises(ValueError, match="segments is no list"):
        from_json([right])

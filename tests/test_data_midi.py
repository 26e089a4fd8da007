"""MIDI and MusicXML files against mido, music21, and rolls that are known."""

from __future__ import annotations

import io
import warnings
import zipfile
from fractions import Fraction
from pathlib import Path

import mido
import numpy as np
import pytest

import random_kit
from odyssey.data import musicxml
from odyssey.data.midi_files import read_midi
from odyssey.data.music_files import read_piece
from odyssey.data.pianoroll import Note, span
from odyssey.tasks.midi import write_midi


def random_roll(rng: np.random.Generator, frames: int) -> np.ndarray:
    roll = (rng.random((frames, 88)) < 0.1).astype(np.uint8)
    roll[:, rng.integers(88)] = 1  # held throughout, so that the last frame is not silent
    return roll


def on(tick: int, key: int, channel: int = 0, speed: int = 64) -> tuple:
    return tick, mido.Message("note_on", note=key, velocity=speed, channel=channel)


def off(tick: int, key: int, channel: int = 0) -> tuple:
    return tick, mido.Message("note_off", note=key, channel=channel)


def midi(tracks: list[list[tuple]], *, quarter: int = 480, kind: int = 1) -> bytes:
    """A file of messages with their ticks from the beginning, in any order."""
    file = mido.MidiFile(type=kind, ticks_per_beat=quarter)
    for events in tracks:
        track, now = mido.MidiTrack(), 0
        for tick, message in sorted(events, key=lambda event: event[0]):
            track.append(message.copy(time=tick - now))
            now = tick
        file.tracks.append(track)
    stream = io.BytesIO()
    file.save(file=stream)
    return stream.getvalue()


@pytest.mark.parametrize("resolution", [1, 2, 3, 4, 7, 12, 96])
def test_a_written_roll_is_read_back(resolution, tmp_path: Path, rng) -> None:
    roll = random_roll(rng, int(rng.integers(1, 60)))
    path = write_midi(
        roll, tmp_path / "a.mid", tempo=float(rng.uniform(20, 300)), resolution=resolution
    )
    piece = read_piece(path.read_bytes(), resolution)
    assert np.array_equal(piece.frames, roll)
    assert not any(piece.lost.values())
    assert mido.MidiFile(path).ticks_per_beat % resolution == 0


def sounding(content: bytes, resolution: int) -> np.ndarray:
    """The roll of a file by mido's reading: how often each key is held, tick by tick."""
    file = mido.MidiFile(file=io.BytesIO(content))
    spans = []
    for track in file.tracks:
        tick, held = 0, {}
        for message in track:
            tick += message.time
            if message.is_meta or message.type not in ("note_on", "note_off"):
                continue
            key = message.channel, message.note
            begun = held.setdefault(key, [])
            if message.type == "note_on" and message.velocity:
                begun.append(tick)
            elif begun:
                start = begun.pop(0)
                if message.channel != 9 and 21 <= message.note <= 108:
                    spans.append((message.note, start, tick))
    last = max(stop for _, _, stop in spans)
    rows = []
    frame = 0
    while (at := Fraction(file.ticks_per_beat) * Fraction(8 * frame + 1, 8 * resolution)) < last:
        row = np.zeros(88, np.uint8)
        for key, start, stop in spans:
            row[key - 21] |= start <= at < stop
        rows.append(row)
        frame += 1
    return np.array(rows, np.uint8).reshape(-1, 88)


def test_random_files_are_read_as_mido_reads_them(rng) -> None:
    """Overlapping notes, on any tick, on and off by velocity 0, drums, keys no piano has."""
    dice = random_kit.dice()
    for _ in range(12):
        kind = dice.choice([0, 1])
        quarter = dice.choice([24, 96, 480, 1023])
        tracks = []
        for _ in range(1 if kind == 0 else dice.randint(1, 4)):
            events = [(0, mido.MetaMessage("set_tempo", tempo=dice.randint(10**5, 10**6)))]
            for _ in range(dice.randint(1, 60)):
                start = dice.randint(0, 8 * quarter)
                stop = start + dice.randint(0, 2 * quarter)
                key, channel = dice.randint(0, 127), dice.choice([0, 0, 0, 3, 9])
                events.append(on(start, key, channel))
                end = on(stop, key, channel, 0) if dice.random() < 0.5 else off(stop, key, channel)
                events += [end] if dice.random() < 0.95 else []
                events.append((start, mido.Message("control_change", control=64, value=127)))
                events.append((start, mido.Message("program_change", program=dice.randint(0, 127))))
                events.append((stop, mido.Message("pitchwheel", pitch=dice.randint(-9, 9))))
                events.append((stop, mido.Message("sysex", data=[1, 2, 3])))
            events.append(on(0, 60))
            events.append(off(4 * quarter, 60))
            tracks.append(events)
        content = midi(tracks, quarter=quarter, kind=kind)
        resolution = dice.choice([1, 2, 3, 4])
        ours = read_piece(content, resolution).frames
        theirs = sounding(content, resolution)
        assert np.array_equal(ours, theirs[: len(ours)]) and not theirs[len(ours) :].any()


def test_what_is_left_out_is_counted() -> None:
    events = [
        *(on(0, 60), off(480, 60)),
        *(on(0, 20), off(480, 20), on(0, 109), off(480, 109)),  # outside the keys
        *(on(0, 40, 9), off(480, 40, 9)),  # a drum
        on(0, 70),  # without an end
        *(on(250, 72), off(270, 72)),  # between two frames
        off(300, 50),  # an end alone
    ]
    piece = read_piece(midi([events], kind=0), 2)
    assert piece.lost == {"outside": 2, "drums": 1, "endless": 1, "between": 1}
    assert [np.flatnonzero(frame).tolist() for frame in piece.frames] == [[39], [39]]


def test_a_little_late_is_in_time() -> None:
    """A key is on in a frame if it sounds an eighth of the frame after its beginning."""
    for late in range(-180, 180):
        content = midi([[on(480 + late, 60), off(960 + late, 60)]], kind=0)
        first = 2 + (late > 30) - (late <= -210)
        (rows,) = np.nonzero(read_piece(content, 2).frames[:, 39])
        assert rows.tolist() == [first, first + 1]


def test_a_key_struck_again_sounds_until_it_is_released_as_often() -> None:
    for order, frames in (
        ([on(0, 60), on(480, 60), off(960, 60), off(1440, 60)], 6),
        ([on(0, 60), off(480, 60), on(480, 60), off(960, 60)], 4),
        ([on(0, 60), on(480, 60), off(480, 60), off(960, 60)], 4),
    ):
        roll = read_piece(midi([order], kind=0), 2).frames
        assert roll[:, 39].tolist() == [1] * frames


def chunk(name: bytes, data: bytes) -> bytes:
    return name + len(data).to_bytes(4, "big") + data


def raw(track: bytes, *, kind: int = 0, tracks: int = 1, division: int = 2) -> bytes:
    head = b"".join(n.to_bytes(2, "big") for n in (kind, tracks, division))
    return chunk(b"MThd", head) + chunk(b"MTrk", track) * tracks


END = bytes([0, 0xFF, 0x2F, 0])
RUNNING = bytes([0, 0x90, 60, 64, 0, 62, 64, 2, 60, 0, 2, 62, 0])


def test_running_status_goes_on_past_other_events() -> None:
    wanted = [Note(60, Fraction(0), Fraction(1)), Note(62, Fraction(0), Fraction(2))]
    assert read_midi(raw(RUNNING + END)).notes == wanted
    assert read_midi(raw(RUNNING)).notes == wanted  # without an end of the track
    meta = bytes([0, 0xFF, 1, 1, 65])
    mixed = RUNNING[:4] + meta + RUNNING[4:7] + meta + RUNNING[7:] + END
    assert read_midi(raw(mixed)).notes == wanted
    wrapped = b"RIFF" + b"\0\0\0\0" + b"RMID" + chunk(b"data", raw(RUNNING + END))
    assert read_midi(wrapped).notes == wanted
    strange = raw(RUNNING + END)
    assert read_midi(strange[:14] + chunk(b"XFIH", b"abc") + strange[14:]).notes == wanted


def test_tracks_of_type_2_follow_one_another() -> None:
    one = bytes([0, 0x90, 60, 64, 2, 60, 0])
    found = read_midi(raw(one, kind=2, tracks=3)).notes
    assert [(n.start, n.stop) for n in found] == [(0, 1), (1, 2), (2, 3)]
    assert {(n.start, n.stop) for n in read_midi(raw(one, kind=1, tracks=3)).notes} == {(0, 1)}


def test_a_key_signature_that_does_not_exist_spoils_nothing() -> None:
    signature = bytes([0, 0xFF, 0x59, 2, 0x0F, 0])
    content = raw(signature + RUNNING + END)
    with pytest.raises(Exception):  # noqa: B017
        mido.MidiFile(file=io.BytesIO(content))
    assert len(read_midi(content).notes) == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"MThd", "ends within its header"),
        (raw(RUNNING + END, division=0xE728), "in seconds \\(SMPTE\\)"),
        (raw(RUNNING + END, division=0), "no ticks"),
        (raw(RUNNING + END, kind=7), "of type 7"),
        (raw(RUNNING + END)[:-9], "ends within track 1 of 1"),
        (raw(RUNNING[:3]), "ends within an event"),
        (raw(bytes([0, 60, 64])), "damaged at its byte"),
        (raw(bytes([0, 0x90, 200, 64])), "damaged at its byte"),
        (raw(bytes([0xFF] * 5)), "more than four bytes"),
        (raw(bytes([0, 0xFF, 1, 0xFF, 0xFF, 0xFF, 0x7F])), "ends within an event"),
        (raw(RUNNING + END, tracks=1)[:14] + chunk(b"MTrk", b"")[:6], "ends within track 1"),
        (raw(END), "no note"),
        (raw(bytes([0, 0x90, 60, 64, 0xFF, 0xFF, 0xFF, 0x7F, 60, 0])), "more than 1,000,000"),
        (b"GIF89a", "neither MIDI nor MusicXML"),
        (b"\x00" * 99, "neither MIDI nor MusicXML"),
        (b"<html/>", "outermost element is <html>"),
        (b"<score-partwise>", "no element found"),
        (b"<score-partwise/>", "no note"),
        (b"PK\3\4", "zip"),
    ],
)
def test_a_damaged_file_has_a_reason(content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_piece(content, 2)


def test_any_damage_is_a_reason_or_music(rng) -> None:
    whole = midi([[on(0, 60), off(99, 60), on(50, 61), off(120, 61)]] * 2)
    for length in range(len(whole)):
        with pytest.raises(ValueError):
            read_piece(whole[:length], 2)
    packed = mxl(SCORE.format(PARTS).encode())
    for source in (whole, SCORE.format(PARTS).encode(), packed):
        for _ in range(300):
            content = bytearray(source)
            for at in rng.integers(len(content), size=rng.integers(1, 6)):
                content[at] = rng.integers(256)
            try:
                assert read_piece(bytes(content), 2).frames.any()
            except ValueError as error:
                assert str(error) and "\n" not in str(error)


# -- MusicXML -------------------------------------------------------------------------------------

SCORE = "<score-partwise>{}</score-partwise>"
PARTS = """<part id="P1"><measure number="1"><attributes><divisions>2.0</divisions></attributes>
<note><pitch><step>C</step><octave>4</octave></pitch><duration>3</duration></note>
<note><rest/><duration>1</duration></note>
<note><unpitched/><duration>2</duration></note></measure>
<measure number="2"><note><pitch><step>D</step><octave>4</octave></pitch>
<duration>2</duration></note></measure></part>"""
TIMEWISE = """<?xml version="1.0"?><score-timewise><measure number="1"><part id="P1"><attributes>
<divisions>2</divisions></attributes><note><pitch><step>C</step><octave>4</octave></pitch>
<duration>3</duration></note><note><rest/><duration>1</duration></note>
<note><unpitched/><duration>2</duration></note></part></measure>
<measure number="2"><part id="P1"><note><pitch><step>D</step><octave>4</octave></pitch>
<duration>2</duration></note></part></measure></score-timewise>"""


def mxl(score: bytes, container: bool = True) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        if container:
            packed.writestr(
                "META-INF/container.xml",
                '<container><rootfiles><rootfile full-path="a.xml"/></rootfiles></container>',
            )
        packed.writestr("a.xml", score)
    return stream.getvalue()


def test_partwise_timewise_zipped_and_in_utf_16_are_the_same_piece() -> None:
    plain = SCORE.format(PARTS)
    files = [plain.encode(), TIMEWISE.encode(), mxl(plain.encode())]
    files += ["\ufeff".encode() + plain.encode(), plain.encode("utf-16")]
    for content in files:
        piece = read_piece(content, 2)
        keys = [np.flatnonzero(frame).tolist() for frame in piece.frames]
        assert keys == [[39]] * 3 + [[]] * 3 + [[41]] * 2
        assert piece.lost["drums"] == 1


def test_parts_stay_together() -> None:
    """A part with a bar too short, by a rounded duration or a mistake, begins the next in time."""
    short = PARTS.replace("P1", "P2").replace("<unpitched/><duration>2<", "<rest/><duration>1<")
    for order in ((PARTS, short), (short, PARTS)):
        piece = read_piece(SCORE.format("".join(order).replace("D<", "E<", 1)).encode(), 2)
        keys = [np.flatnonzero(frame).tolist() for frame in piece.frames]
        assert keys == [[39]] * 3 + [[]] * 3 + [[41, 43]] * 2
    longer = PARTS.replace("</part>", PARTS[PARTS.index('<measure number="2"') :])
    piece = read_piece(SCORE.format(PARTS + longer).encode(), 2)
    assert len(piece.frames) == 10


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (mxl(b"<score-partwise/>", container=False), "container.xml"),
        (mxl(b"nothing"), "syntax error"),
        (SCORE.format(PARTS.replace(">3<", ">1e999999999<")).encode(), "a duration of"),
        (SCORE.format(PARTS.replace(">3<", ">-3<")).encode(), "a duration of"),
        (SCORE.format(PARTS.replace("<step>C", "<step>Q")).encode(), "pitch"),
        (SCORE.format(PARTS.replace(">3<", ">99999999999<")).encode(), "1,000,000 frames"),
        (b'<?xml version="1.0" encoding="xyz"?><a/>', "encoding"),
    ],
)
def test_a_damaged_score_has_a_reason(content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_piece(content, 2)


def test_entities_do_not_fill_the_memory() -> None:
    levels = "".join(
        f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' if i else '<!ENTITY e0 "0123456789">'
        for i in range(12)
    )
    content = f"<!DOCTYPE a [{levels}]><score-partwise>&e11;</score-partwise>"
    with pytest.raises(ValueError):
        read_piece(content.encode(), 2)


def test_a_frame_of_a_note_is_that_of_a_plain_count(rng) -> None:
    for _ in range(100):
        late = Fraction(int(rng.integers(0, 4)), 8)
        resolution = int(rng.integers(1, 9))
        start = Fraction(int(rng.integers(0, 99)), int(rng.integers(1, 30)))
        stop = start + Fraction(int(rng.integers(1, 99)), int(rng.integers(1, 30)))
        within = [k for k in range(1000) if start <= (k + late) / resolution < stop]
        first, last = span(Note(60, start, stop), resolution, late)
        assert list(range(first, last)) == within


@pytest.mark.slow
def test_music21_reads_the_same_midi(tmp_path: Path, rng) -> None:
    from music21 import converter

    for number in range(4):
        roll = (rng.random((40, 88)) < 0.03).astype(np.uint8)
        roll[[0, -1], 40] = 1  # no longer note: music21 sets one of five bars in the wrong places
        path = write_midi(roll, tmp_path / f"{number}.mid")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = converter.parse(path, forceSource=True, storePickle=False, quantizePost=False)
        theirs = np.zeros_like(roll)
        for note in score.flatten().notes:
            for pitch in note.pitches:
                first, last = 2 * note.offset, 2 * (note.offset + note.quarterLength)
                theirs[round(first) : round(last), pitch.midi - 21] = 1
        assert np.array_equal(read_piece(path.read_bytes(), 2).frames, theirs)


@pytest.mark.slow
def test_scores_that_music21_writes(tmp_path: Path) -> None:
    """Chords, rests, ties over bars, triplets, two parts, one of them of a clarinet in B flat."""
    from music21 import chord, clef, instrument, meter, note, stream

    dice = random_kit.dice()
    score, spans = stream.Score(), []
    for which in (instrument.Piano(), instrument.Clarinet()):
        part = stream.Part([which, clef.TrebleClef(), meter.TimeSignature("3/4")])
        now = Fraction(0)
        for _ in range(30):
            length = dice.choice([Fraction(1, 4), Fraction(1, 2), Fraction(1, 3), 1, 2, 5])
            keys = sorted(dice.sample(range(40, 90), dice.randint(0, 3)))
            made = (
                chord.Chord(keys) if len(keys) > 1 else note.Note(keys[0]) if keys else note.Rest()
            )
            made.quarterLength = length
            part.append(made)
            shift = -2 if isinstance(which, instrument.Clarinet) else 0
            spans += [Note(key + shift, now, now + length) for key in keys]
            now += length
        score.insert(0, part)
    for ending in ("musicxml", "mxl"):
        path = score.write(ending, tmp_path / f"a.{ending}")
        with open(path, "rb") as file:
            found = musicxml.notes(musicxml.read_score(file.read()))
        for resolution in (2, 12):
            assert _rows(found, resolution) == _rows(spans, resolution)


def _rows(notes: list[Note], resolution: int) -> list[set[int]]:
    end = max(n.stop for n in notes)
    return [
        {n.key for n in notes if n.start <= Fraction(k, resolution) < n.stop}
        for k in range(int(end * resolution))
    ]

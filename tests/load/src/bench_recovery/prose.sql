-- Words out of 32,768, some much more often than others, which a compressor halves at best: as with what people write.
CREATE FUNCTION pg_temp.prose(words integer) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(substr(syllables, 1 + 2 * (word & 31), 2) || substr(syllables, 1 + 2 * (word >> 5 & 31), 2)
                      || substr(syllables, 1 + 2 * (word >> 10 & 31), 2), ' ')
      FROM (SELECT floor(32768 * random() * random())::integer AS word,
                   'toranesidelugamipokevaryfoxbuchinalowethastudemorpliwensqugyczij' AS syllables
              FROM generate_series(1, words)) AS drawn
$$;
-- What entries are about. With the same seed it is the same in each session.
SELECT setseed(0.5);
CREATE TEMPORARY TABLE topics AS
SELECT topic, l2_normalize((SELECT array_agg(random_normal()) FROM generate_series(1, 384) WHERE topic >= 0)::halfvec) AS centre
  FROM generate_series(0, 1999) AS topic;
ALTER TABLE topics ADD PRIMARY KEY (topic);

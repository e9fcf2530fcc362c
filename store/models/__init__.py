"""Model bundles. A bundle is the folder `models/NAME/`; DIGEST is the beginning of the file's SHA-256:

    card.json                     what the model is, and the SHA-256 of every other file; written last
    weights-DIGEST.safetensors    weights of encoder and head
    trained_content-DIGEST.parquet  digests of their content: the same item may come under another id
    trained_ids-DIGEST.parquet    ids of the items it was trained on, which no check asks
    log-DIGEST.ndjson             one line per epoch; none for a blend
    witness-DIGEST.parquet        vectors of a few items, made when it was saved
    tokenizer-DIGEST.json, ...    files of the encoder, where it has some; `old-` before those of a blend's old encoder

`cards` reads and writes the card, `files` the others, with their hashes verified. `archive` and `transfer` pack a
bundle into one file and take it from one; `admissible` refuses whatever else such a file may hold.
"""

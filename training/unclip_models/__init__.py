"""The networks of unCLIP: CLIP, prior, decoder, upsamplers; their configs, tokenizer and checkpoints. They know neither diffusion nor a trainer."""

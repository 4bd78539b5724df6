"""The networks of unCLIP: CLIP, prior, decoder, upsamplers; configs, tokenizer, checkpoints. They know neither diffusion nor trainer."""

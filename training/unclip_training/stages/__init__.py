"""One LightningModule per stage of unCLIP."""

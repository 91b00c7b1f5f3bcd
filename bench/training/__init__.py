"""How `sluice-chat`, the embedded model that answers, is made: data, training, grades."""

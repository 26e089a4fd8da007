"""Which hyperparameter matters: functional ANOVA of a random forest, exact on its boxes."""

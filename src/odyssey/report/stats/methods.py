"""What each statistic can and cannot say, and where it comes from: the words of the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A statistic in plain words."""

    key: str
    name: str
    source: str
    says: str
    cannot: str


AGARWAL = (
    "Agarwal, Schwarzer, Castro, Courville and Bellemare (2021), Deep reinforcement learning at "
    "the edge of the statistical precipice, NeurIPS"
)

_ALL = (
    Method(
        "top_share",
        "Best share of the trials",
        "Greff, Srivastava, Koutník, Steunebrink and Schmidhuber (2017), LSTM: A Search Space "
        "Odyssey, IEEE Transactions on Neural Networks and Learning Systems 28, 2222-2232, "
        "figure 3",
        "What each variant reaches when its settings are searched for and the best trials by "
        "validation are kept, with their test values. Diverged and failed trials count in the "
        "number of which the share is taken, and are never kept.",
        "The kept trials have different hyperparameters: they are not independent and identically "
        "distributed repetitions of one configuration, as the tests on them assume. Keeping the "
        "best of many is itself a choice by result, which narrows their spread and flatters their "
        "validation values; how much depends on the number of trials. Compare searches of the "
        "same size only, and repeat a chosen configuration with several seeds before claiming "
        "anything about it.",
    ),
    Method(
        "welch",
        "Welch's t-test",
        "Welch (1947), The generalization of 'Student's' problem when several different "
        "population variances are involved, Biometrika 34, 28-35",
        "How surprising the difference of two means is if the true means are the same; spreads "
        "and numbers of runs may differ.",
        "A large p does not show that two variants are the same. The p-value leans on means of "
        "independent values being about normal, so outliers and a handful of runs mislead it. A "
        "mean has no place for diverged runs: it is taken over the others, which flatters a "
        "variant that diverges.",
    ),
    Method(
        "bonferroni",
        "Bonferroni correction",
        "Dunn (1961), Multiple comparisons among means, Journal of the American Statistical "
        "Association 56, 52-64",
        "Keeps the chance of even one false alarm among all variants at the level chosen, "
        "whatever the tests have to do with each other.",
        "It misses more true differences the more variants there are, and more than Holm's does. "
        "It does not know of metrics and studies that were looked at elsewhere.",
    ),
    Method(
        "holm",
        "Holm correction",
        "Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian "
        "Journal of Statistics 6, 65-70",
        "The same guarantee as Bonferroni's with no more assumptions, and never a larger p-value. "
        "A test that could not be made still counts as one.",
        "It corrects for the variants of one table, not for other metrics or studies that were "
        "looked at.",
    ),
    Method(
        "brunner_munzel",
        "Brunner-Munzel test",
        "Brunner and Munzel (2000), The nonparametric Behrens-Fisher problem: asymptotic theory "
        "and a small-sample approximation, Biometrical Journal 42, 17-25",
        "Whether runs of one variant tend to be better than those of the other. Only the order "
        "counts, so diverged and failed runs take part, as ties at the worst.",
        "It says nothing about the size of a difference in the metric's unit. With fewer than "
        "about 10 runs a side the p-value is rough; where the two do not overlap at all, the "
        "exact permutation p-value stands in its place.",
    ),
    Method(
        "hedges_g",
        "Hedges' g",
        "Hedges (1981), Distribution theory for Glass's estimator of effect size and related "
        "estimators, Journal of Educational Statistics 6, 107-128; interval from the noncentral t "
        "distribution, Steiger and Fouladi (1997)",
        "The difference of means in units of the runs' own standard deviation, corrected for the "
        "bias of small samples.",
        "It assumes equal spread and normal values. A small spread makes a negligible difference "
        "look large: whether it matters is to be judged in the metric's unit. Runs that were "
        "selected as the best have a narrowed spread, and so a larger g.",
    ),
    Method(
        "tost",
        "Two one-sided tests (equivalence)",
        "Schuirmann (1987), A comparison of the two one-sided tests procedure and the power "
        "approach for assessing the equivalence of average bioavailability, Journal of "
        "Pharmacokinetics and Biopharmaceutics 15, 657-680",
        "Shows that two means differ by less than a margin that was set beforehand: the only one "
        "of these tests that can say 'the same'. The smallest margin says how fine a sameness "
        "these runs could have shown.",
        "The margin is the user's judgement of what matters, and a margin chosen after a look at "
        "the results shows nothing. Failing to show sameness is not showing a difference. It "
        "rests on means, with the limits of Welch's test.",
    ),
    Method(
        "iqm",
        "Interquartile mean",
        AGARWAL + ", section 4.3",
        "The mean of the middle half of the runs: steadier than a mean, and less wasteful of runs "
        "than a median. Diverged runs are cut off while they are fewer than a quarter; from there "
        "on it is infinite.",
        "It says nothing about the best runs or about the tails. A variant that diverges in a "
        "fifth of its runs can look as good as one that never does: see the divergence rate.",
    ),
    Method(
        "bootstrap",
        "Stratified bootstrap interval",
        AGARWAL + ", section 4.1; Efron (1979), Bootstrap methods: another look at the jackknife, "
        "Annals of Statistics 7, 1-26",
        "How far a statistic would move if other runs of the same kind had been made: the middle "
        "95% over resamples within each configuration, or over all trials of a random search.",
        "With fewer than about 10 runs it is too narrow, since resamples hold nothing but what was "
        "seen. It knows of chance in the runs, not in the choice of data set or task. Runs that "
        "all gave one value have an interval of no width.",
    ),
    Method(
        "improvement",
        "Probability of improvement",
        AGARWAL + ", section 4.3; the statistic of Mann and Whitney (1947), On a test of whether "
        "one of two random variables is stochastically larger than the other, Annals of "
        "Mathematical Statistics 18, 50-60",
        "The chance that a run of one variant beats a run of the other, ties counting a half. "
        "Diverged and failed runs lose to all others.",
        "It does not say by how much: a sure win by nothing that matters is 1. Over searched "
        "trials it also depends on the ranges searched.",
    ),
    Method(
        "expected",
        "Expected best validation value",
        "Dodge, Gururangan, Card, Schwartz and Smith (2019), Show your work: improved reporting of "
        "experimental results, EMNLP, section 3; without replacement: Tang, Lee, Xin, Liu, Yu and "
        "Lin (2020), Showing your work doesn't always work, ACL",
        "What a search with fewer trials would be expected to find, and so which variant is the "
        "better choice for a given budget.",
        "It holds for random search in the space that was searched and says nothing beyond the "
        "trials done. With replacement it is biased towards worse values, more so near the full "
        "number of trials, where the band is too narrow too. It is a validation value: the test "
        "value of the trial chosen is usually worse.",
    ),
    Method(
        "anova",
        "Importance by functional ANOVA",
        "Hutter, Hoos and Leyton-Brown (2014), An efficient approach for assessing hyperparameter "
        "importance, ICML",
        "Which share of the variance of the result, over the whole space that was searched, goes "
        "back to each hyperparameter alone, to each pair, and to interactions of more.",
        "The shares are those of a model fitted to the trials, the one of two that better predicts "
        "trials it has not seen: polynomials with a posterior (Sudret 2008; Carvalho, Polson and "
        "Scott 2010), or a random forest. The intervals of polynomials are the middle 99% of "
        "the posterior, which in simulations held the true share in 92% of the studies or more, "
        "and take the function to be smooth; those of a forest are of bootstrapped trials, widened "
        "by what it does not predict. They depend on the ranges searched and on their scale: a "
        "wide range of learning rates makes the learning rate important. Nothing is said about "
        "what matters near the best settings.",
    ),
    Method(
        "wilson",
        "Wilson interval for a share",
        "Wilson (1927), Probable inference, the law of succession, and statistical inference, "
        "Journal of the American Statistical Association 22, 209-212",
        "Between which shares the true rate (of runs that diverge, say) is thought to lie, also "
        "for few runs and for none of them.",
        "Over searched trials the rate depends on the ranges searched, and is not that of any one "
        "configuration.",
    ),
    Method(
        "paired",
        "Paired comparison (Wilcoxon signed-rank)",
        "Wilcoxon (1945), Individual comparisons by ranking methods, Biometrics Bulletin 1, 80-83",
        "Where trial n of both variants had the same settings: how often one was better, by how "
        "much in the median, and how surprising that is. What the settings do to both cancels "
        "out. A diverged or failed trial loses to one that was not, by the largest rank; two such "
        "are a tie.",
        "It compares the variants at the same settings, while each may have its best ones "
        "elsewhere. Without a difference the differences must be symmetric about 0 for the "
        "p-value to hold. Ties are left out of the test.",
    ),
)

METHODS: dict[str, Method] = {method.key: method for method in _ALL}

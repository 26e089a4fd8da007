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
        "The kept trials have different hyperparameters, and which of them are kept depends on all "
        "trials: they are not independent and identically distributed repetitions of one "
        "configuration, as the paper's test on them assumes. Compare searches of the same space, "
        "and repeat a chosen configuration with several seeds before claiming anything about it.",
    ),
    Method(
        "reselection",
        "Re-selection",
        "Permutation of all trials, with the selection repeated in each: Good (2005), Permutation, "
        "parametric and bootstrap tests of hypotheses, Springer, chapter 3; measured in "
        "docs/calibration.md",
        "How surprising the difference of two searches' best shares is if either variant might "
        "have had either's trials: all of them are exchanged, those of the same settings within "
        "pairs, and the best are selected anew each time. Exact for any number of trials, with "
        "ties and lost trials among them; the interval holds the shifts that it does not refuse.",
        "Its hypothesis is that the two have the same distribution of trials, up to a shift. It "
        "is about searches of this size in this space: neither about the best settings, nor about "
        "more trials.",
    ),
    Method(
        "paired_t",
        "Paired t-test",
        "Student (1908), The probable error of a mean, Biometrika 6, 1-25",
        "How surprising the mean difference of runs of the same seed is if there is none. What a "
        "seed does to both, by the order of the data for instance, cancels out. It decides where "
        "all variants were planned with the same seeds.",
        "Where seeds do not act on both alike it is weaker than Welch's test. It leans on "
        "differences being about normal, and on the runs that survived.",
    ),
    Method(
        "crossed_t",
        "t-tests over crossed seeds",
        "Satterthwaite (1946), An approximate distribution of estimates of variance components, "
        "Biometrics Bulletin 2, 110-114; Searle, Casella and McCulloch (1992), Variance "
        "Components, Wiley, chapter 4; measured in docs/calibration.md",
        "How surprising the mean difference is where several seeds vary crosswise, so that runs "
        "share weights or the order of the data. It is held against the scatter of its means over "
        "the seeds of each kind, and against the sum of these; the largest p counts.",
        "With few seeds of a kind it finds little, since so few say little of others of that "
        "kind. It leans on effects being about normal, and on the runs that survived.",
    ),
    Method(
        "welch",
        "Welch's t-test",
        "Welch (1947), The generalization of 'Student's' problem when several different "
        "population variances are involved, Biometrika 34, 28-35",
        "How surprising the difference of two means is if the true means are the same; spreads "
        "and numbers of runs may differ. It decides where seeds differ between variants.",
        "A large p does not show that two variants are the same. The best trials of a search are "
        "no sample: on them it errs in 15% to 30% of studies of 50 to 200 trials where it says "
        "5%. A mean has no place for diverged runs: it is taken over the others.",
    ),
    Method(
        "losses",
        "Exact test of losses",
        "Boschloo (1970), Raised conditional level of significance for the 2x2-table when testing "
        "the equality of two probabilities, Statistica Neerlandica 24, 1-9",
        "Whether runs of one variant diverge or fail more often than those of the other.",
        "It does not say why they do: a rate of loss depends on the settings.",
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
        "contrasts",
        "Contrasts of a grid",
        "Maxwell and Delaney (2004), Designing experiments and analyzing data, 2nd edition, "
        "chapters 12 and 13; without shared seeds Welch (1951), On the comparison of several mean "
        "values, Biometrika 38, 330-336; measured in docs/calibration.md",
        "Where the variants are every combination of two or more factors: what each level of a "
        "factor does beside the baseline's, averaged over the other factors and within each of "
        "their levels, and whether that depends on another factor. Each seed gives one value of an "
        "effect, on which Student's t is made: seeds are blocks, and no equal variances or "
        "correlations are assumed. Levels that double have a trend as well.",
        "An effect that is averaged over a factor with which it interacts says little about any "
        "one level. That no interaction was found does not make effects add up. With a handful of "
        "seeds only large effects are found, and lost runs leave their seeds out.",
    ),
    Method(
        "brunner_munzel",
        "Brunner-Munzel test",
        "Brunner and Munzel (2000), The nonparametric Behrens-Fisher problem: asymptotic theory "
        "and a small-sample approximation, Biometrical Journal 42, 17-25",
        "Whether runs of one variant tend to be better than those of the other. Only the order "
        "counts, so diverged and failed runs take part, as ties at the worst. Where a value lies "
        "far out, or nothing scatters, it decides, by all permutations of the runs (Neubert and "
        "Brunner 2007).",
        "It says nothing about the size of a difference in the metric's unit. The p in the table "
        "is the t approximation, rough with fewer than about 10 runs a side.",
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
        "of these tests that can say 'the same'. Of a search it is made by re-selection, of pairs "
        "on their differences.",
        "The margin is the user's judgement of what matters, and a margin chosen after a look at "
        "the results shows nothing. Failing to show sameness is not showing a difference. It "
        "rests on means, with the limits of Welch's test.",
    ),
    Method(
        "chances",
        "Probabilities of better, same and worse",
        "Benavoli, Corani, Demšar and Zaffalon (2017), Time for a change: a tutorial for comparing "
        "multiple classifiers through Bayesian analysis, Journal of Machine Learning Research 18, "
        "1-36; two independent samples: Box and Tiao (1973), Bayesian inference in statistical "
        "analysis, section 2.5.2",
        "How probable it is, after these runs, that the true mean is better than the baseline's by "
        "more than the margin, within it, or worse by more. Differences of pairs, or the values of "
        "each variant, are taken to be normal, with a prior that says nothing. Runs of other seeds "
        "on one fixed split share no fold, so the correlation of Benavoli's correlated t-test is 0 "
        "here.",
        "They are beliefs about one variant, and no error rates: where no variant differs, one in "
        "twenty of them is above 95% all the same, for each variant that is looked at, in either "
        "direction. No word of the page rests on them. There are none for a search, whose best "
        "trials are no sample, and none where runs were lost, a value lies far out, or runs share "
        "seeds or have splits that overlap.",
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
        "intervals",
        "Intervals of one variant",
        "Student (1908); Thompson (1936), On confidence ranges for the median, Annals of "
        "Mathematical Statistics 7, 122-128; Yuen (1974), The two-sample trimmed t for unequal "
        "population variances, Biometrika 61, 165-170; Efron (1979), Bootstrap methods, Annals of "
        "Statistics 7, 1-26",
        "Where the mean (t), the median (order statistics) or the interquartile mean (winsorized "
        "variance) of more such runs would lie. That of a search's best share is a bootstrap of "
        "all trials that selects the best anew in each. None is shown where it would not hold.",
        "They know of chance in the runs, not in the choice of data set or task.",
    ),
    Method(
        "improvement",
        "Probability of improvement",
        AGARWAL + ", section 4.3; the statistic of Mann and Whitney (1947), On a test of whether "
        "one of two random variables is stochastically larger than the other, Annals of "
        "Mathematical Statistics 18, 50-60; limits of Newcombe (2006), Statistics in Medicine 25, "
        "559-573, and of pairs of Clopper and Pearson (1934), Biometrika 26, 404-413",
        "The chance that a run of one variant beats a run of the other, ties counting a half; in "
        "pairs where there are any. Diverged and failed runs lose to all others.",
        "It does not say by how much: a sure win by nothing that matters is 1. Over searched "
        "trials it also depends on the ranges searched.",
    ),
    Method(
        "all_pairs",
        "All pairs",
        "Holm (1979), as above; groups: Piepho (2004), An algorithm for a letter-based "
        "representation of all-pairwise comparisons, Journal of Computational and Graphical "
        "Statistics 13, 456-466",
        "Every variant against every other, by the tests of the verdicts, corrected over all "
        "pairs: a family of its own beside that against the baseline. A group holds variants of "
        "which no two are told apart.",
        "More pairs cost power: what is found against the baseline may not be found here. A group "
        "is not a set of equal variants, and two variants can share one group and not another. The "
        "two families together have twice the level.",
    ),
    Method(
        "mean_rank",
        "Mean rank over tasks",
        "Demšar (2006), Statistical comparisons of classifiers over multiple data sets, Journal of "
        "Machine Learning Research 7, 1-30; intervals: Hesterberg (2015), What teachers should "
        "know about the bootstrap, The American Statistician 69, 371-386",
        "How a variant ranks in the mean over the tasks of a report, each task of one vote, "
        "whatever its metric. The interval draws the runs within each task anew, and reaches "
        "farther than plain percentiles, which are too narrow at a handful of seeds.",
        "A rank says nothing of how much better a variant is, and it depends on which others are "
        "there. The interval is of one variant by itself, and knows of chance in the runs, not in "
        "the choice of tasks.",
    ),
    Method(
        "friedman",
        "Friedman's test and the sign test over tasks",
        "Friedman (1937), The use of ranks to avoid the assumption of normality implicit in the "
        "analysis of variance, Journal of the American Statistical Association 32, 675-701; Dixon "
        "and Mood (1946), The statistical sign test, Journal of the American Statistical "
        "Association 41, 557-566",
        "Whether tasks agree on an order of the variants more than chance would: p is counted over "
        "all orders within the tasks, or drawn from them. The sign test asks it of one variant "
        "against the baseline, by the number of tasks won, corrected after Holm.",
        "At a handful of tasks hardly anything can be significant: the smallest p that there could "
        "be stands beside it. It says nothing of the tasks that were not run, which nobody drew "
        "at random.",
    ),
    Method(
        "ratios",
        "Ratios to the baseline, and performance profiles",
        "Fleming and Wallace (1986), How not to lie with statistics: the correct way to summarize "
        "benchmark results, Communications of the ACM 29, 218-221; aggregates: " + AGARWAL + "; "
        "profiles: Dolan and Moré (2002), Benchmarking optimization software with performance "
        "profiles, Mathematical Programming 91, 201-213",
        "By which factor a variant's values differ from the baseline's over all tasks: the "
        "geometric mean and the median of the tasks, the interquartile mean of all runs with each "
        "task of one weight, and the share of runs below each factor. The order of the variants by "
        "the mean does not depend on the choice of the baseline.",
        "A ratio depends on the unit of the metric (nats, perplexity), and there is none of values "
        "of 0 or below. A task whose values span orders of magnitude outweighs the others in the "
        "mean; see the median. The bands of profiles hold at each factor by itself.",
    ),
    Method(
        "tuning",
        "Tuning curve",
        "Lourie, Cho and He (2024), Show your work with confidence: confidence bands for tuning "
        "curves, NAACL (arXiv 2311.09480)",
        "What a search of fewer trials finds, as the median of its best value, and so which "
        "variant is the better choice for a given budget. The band holds for the whole curve at "
        "once, whatever the distribution.",
        "It holds for random search in the space that was searched, and ends where these trials "
        "cannot tell any more. It is a validation value: the test value of the trial chosen is "
        "usually worse.",
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

"""ROC AUC and average precision of scikit-learn's isolation forest, fitted on all rows of a CSV and scoring them.

Prints a JSON array with an object a seed. Usage: forest.py FILE.csv.gz SEED...
"""
import gzip
import json
import sys

import numpy
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

path, *seeds = sys.argv[1:]
with gzip.open(path, "rt") as file:
    names = file.readline().strip().split(",")
    table = numpy.loadtxt(file, delimiter=",", ndmin=2)
label = names.index("label")
rows = numpy.delete(table, label, axis=1)
truth = table[:, label].astype(int)
runs = []
for seed in seeds:
    scores = -IsolationForest(random_state=int(seed)).fit(rows).score_samples(rows)
    runs.append({"roc": roc_auc_score(truth, scores), "ap": average_precision_score(truth, scores)})
print(json.dumps(runs))

#!/usr/bin/env bash
# scikit-learn 1.9.1: balanced_accuracy_score and recall_score(average="macro") differ by 0.25 on the same three answers.
#
# Balanced accuracy is documented as "the average of recall obtained on each class", which is what macro recall is. But a
# class that is predicted and that no image has is left out of the one (with a warning), and counts as a recall of 0 in
# the other, which lowers the score of a small validation part in which a rare class is missing. With labels=[0, 1],
# which balanced_accuracy_score does not take, both agree.
#
# top_k_accuracy_score with k=1 is no accuracy either if scores are equal: it takes the last of the classes, argmax the
# first (this one is in its notes). So a network whose scores are all 0 is right on every image of the last class.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$folder/env/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, top_k_accuracy_score

print("scikit-learn", sklearn.__version__)
truth, predicted = [0, 0, 1], [0, 2, 1]
balanced = balanced_accuracy_score(truth, predicted)
macro, of_two = (recall_score(truth, predicted, average="macro", labels=labels) for labels in (None, [0, 1]))
print(f"balanced accuracy {balanced}, macro recall {macro}, macro recall of the classes that there are {of_two}")
assert (balanced, macro, of_two) == (0.75, 0.5, 0.75), "the behaviour changed"

truth, scores = [3, 3, 3, 3], np.zeros((4, 4))
top = top_k_accuracy_score(truth, scores, k=1, labels=range(4))
print(f"equal scores: top-1 accuracy {top}, accuracy of argmax {accuracy_score(truth, scores.argmax(1))}")
assert top == 1 and accuracy_score(truth, scores.argmax(1)) == 0, "the behaviour changed"
PYTHON

"""One search from beginning to end. `pipeline.py` is its table of contents; what it calls is read in this order:

search_run   the task, and the run that is handed through all steps
prepare      checks that all fits together, and parts the images
folder       the folder of the run, and in it the journal (journal), from which a killed run goes on
session      the budget, and the latencies that the search lies between; how it measures (campaigns)
score        what candidates are scored by: a supernet, or short trainings on a backbone (proxy, rungs)
explore      candidates are tried under the constraint; with a trained strategy (gradient_phase), by predicted quality
             (accuracy_phase), with other processes (shared), for a front (front)
finalists    the best are measured anew and ranked by short trainings
comparison   winner and baseline are trained, exported (export) and measured as exported
result       the record of it all, and the predictor having learnt from it
"""

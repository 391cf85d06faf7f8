import cProfile
import pstats
import time

from training.calibrate import calibrate


def test_x(trained, policy):
    t = time.time()
    pr = cProfile.Profile()
    pr.enable()
    calibrate(trained.folder, trained.bundle, [], policy, "a")
    pr.disable()
    print("cal", time.time() - t)
    pstats.Stats(pr).sort_stats("tottime").print_stats(12)

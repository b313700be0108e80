"""A training that has not come to listen to signals: it ends by SIGTERM as any program does."""

import time

time.sleep(60)

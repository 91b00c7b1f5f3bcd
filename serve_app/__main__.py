"""python -m serve_app"""

import sys

from serve_app.launch import main

main(sys.argv[1:])

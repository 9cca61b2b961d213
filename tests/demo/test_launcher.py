"""The launcher leaves nothing behind, however it ends. The tour is the demo's main path, walked for real."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil

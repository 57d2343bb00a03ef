"""Attention measured: is where the face looks where the answer is, and does the answer need it?"""

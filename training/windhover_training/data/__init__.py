"""Data sets: conversion, splits and the crops that a model is trained on."""
